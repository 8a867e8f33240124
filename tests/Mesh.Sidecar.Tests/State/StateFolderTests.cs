using Google.Protobuf.WellKnownTypes;
using Mesh.Sidecar.State;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests.State;

/// <summary>The folder: modes, age, and what stands in the way of reading or writing.</summary>
public sealed class StateFolderTests : IDisposable
{
    private const UnixFileMode Owners = UnixFileMode.UserRead | UnixFileMode.UserWrite;
    private readonly TemporaryFolder outer = new();
    private readonly ManualTimeProvider time = new();
    private readonly StateFolder folder;

    public StateFolderTests() => folder = new StateFolder(outer["state"], time);

    private string FilePath => outer["state/configuration"];

    public void Dispose() => outer.Dispose();

    [Fact]
    public void ItIsMadeForItsOwnerAloneAndKeepsTheLastOne()
    {
        Assert.Null(folder.Read());
        folder.Write(Given.Kept());
        Now(TimeSpan.Zero);
        var other = Given.Kept();
        other.Identity = "another";
        folder.Write(other);
        Assert.Equal(other, folder.Read());
        Assert.Equal(Owners | UnixFileMode.UserExecute, File.GetUnixFileMode(outer["state"]));
        Assert.Equal(Owners, File.GetUnixFileMode(FilePath));
        Assert.Single(Directory.GetFiles(outer["state"]));
    }

    [Theory]
    [InlineData(0, null)]
    [InlineData(24 * 60, null)]
    [InlineData((24 * 60) + 1, "old")]
    [InlineData(-4, null)]
    [InlineData(-6, "clock")]
    public void TooOldOrOfTomorrowIsRefused(int minutes, string? reason)
    {
        folder.Write(Given.Kept());
        Now(TimeSpan.FromMinutes(minutes));
        if (reason is null) Assert.NotNull(folder.Read());
        else Assert.Equal(reason, Refusal().Reason);
    }

    [Theory]
    [InlineData(null, 0)]
    [InlineData(long.MaxValue, 0)]
    [InlineData(long.MinValue, 0)]
    [InlineData(1L, -1)]
    public void WithoutADateItIsRefused(long? seconds, int nanos)
    {
        var kept = Given.Kept();
        kept.Confirmed = seconds is { } s ? new Timestamp { Seconds = s, Nanos = nanos } : null;
        folder.Write(kept);
        Assert.Equal("damaged", Refusal().Reason);
    }

    [Theory]
    [InlineData("configuration", "chmod 600")]
    [InlineData("", "chmod 700")]
    public void WhatOthersMayTouchIsRefused(string what, string words)
    {
        folder.Write(Given.Kept());
        var path = outer["state/" + what];
        foreach (var loose in new[] { UnixFileMode.GroupRead, UnixFileMode.OtherRead, UnixFileMode.GroupWrite, UnixFileMode.OtherWrite })
        {
            File.SetUnixFileMode(path, Owners | UnixFileMode.UserExecute | loose);
            var refusal = Refusal();
            Assert.Equal("unreadable", refusal.Reason);
            Assert.Contains(words, refusal.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void WhatStandsInItsPlaceIsRefusedInWords()
    {
        Directory.CreateDirectory(outer["state"], Owners | UnixFileMode.UserExecute);
        File.WriteAllText(outer["elsewhere"], "x");
        File.CreateSymbolicLink(FilePath, outer["elsewhere"]);
        Assert.Contains("symbolic link", Refusal().Message, StringComparison.Ordinal);
        File.Delete(FilePath);
        using (var huge = new FileStream(FilePath, FileMode.CreateNew)) huge.SetLength(StateFile.Most + 1L);
        File.SetUnixFileMode(FilePath, Owners);
        Assert.Contains("at most", Refusal().Message, StringComparison.Ordinal);
        Directory.Delete(outer["state"], recursive: true);
        File.WriteAllText(outer["state"], "a file");
        Assert.Equal("unreadable", Refusal().Reason);
    }

    [Fact]
    public void DraftsOfAKilledProcessAreSweptAndNothingElseIs()
    {
        folder.Write(Given.Kept());
        Now(TimeSpan.Zero);
        File.WriteAllText(FilePath + ".0123.new", "half");
        File.WriteAllText(outer["state/other"], "somebody's");
        Assert.NotNull(folder.Read());
        Assert.Equal(["configuration", "other"], Directory.GetFiles(outer["state"]).Select(Path.GetFileName).Order(StringComparer.Ordinal));
    }

    [Fact]
    public void WhatIsTooLargeIsNotKeptAndLeavesWhatWas()
    {
        folder.Write(Given.Kept());
        Now(TimeSpan.Zero);
        var huge = Given.Kept();
        huge.Resources.Add(Given.Of("t", "v", new BytesValue { Value = Google.Protobuf.ByteString.CopyFrom(new byte[StateFile.Most]) }));
        Assert.Contains("at most", Assert.Throws<IOException>(() => folder.Write(huge)).Message, StringComparison.Ordinal);
        Assert.Equal(Given.Kept(), folder.Read());
    }

    private void Now(TimeSpan age) => time.Advance(Given.Confirmed + age - time.GetUtcNow());

    private StateRefusedException Refusal() => Assert.Throws<StateRefusedException>(folder.Read);
}
