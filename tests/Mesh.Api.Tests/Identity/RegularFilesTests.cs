using System.Net.Sockets;
using Mesh.Api.Identity;
using Mesh.Tests;

namespace Mesh.Api.Tests.Identity;

/// <summary>What stands in the place of a file and is none: refused, and never waited for.</summary>
public sealed class RegularFilesTests : IDisposable
{
    private const int Most = 1000;
    private readonly TemporaryFolder folder = new();

    /// <summary>Every way files are read that somebody else may have put there.</summary>
    public static TheoryData<string> Readers => ["secret", "bytes", "text"];

    public void Dispose() => folder.Dispose();

    [SkippableTheory]
    [MemberData(nameof(Readers))]
    public async Task A_pipe_is_refused_and_not_waited_for(string reader)
    {
        using var make = System.Diagnostics.Process.Start(ExternalProgram.Require("mkfifo"), ["-m", "600", folder["pipe"]]);
        await make.WaitForExitAsync();
        Assert.Contains("no regular file", await RefusedAsync(reader, folder["pipe"]), StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(Readers))]
    public async Task A_socket_is_refused(string reader)
    {
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Bind(new UnixDomainSocketEndPoint(folder["socket"]));
        File.SetUnixFileMode(folder["socket"], UnixFileMode.UserRead | UnixFileMode.UserWrite);
        Assert.Contains(folder["socket"], await RefusedAsync(reader, folder["socket"]), StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(Readers))]
    public async Task A_folder_is_refused(string reader) => Assert.Contains("is a folder", await RefusedAsync(reader, folder.Path), StringComparison.Ordinal);

    [Fact]
    public async Task A_device_without_an_end_is_not_read_to_it()
    {
        // Anybody may read it, so it is no secret either.
        Assert.Contains("chmod 600", await RefusedAsync("secret", "/dev/zero"), StringComparison.Ordinal);
        Assert.Empty(await Task.Run(() => RegularFiles.Read("/dev/zero", Most)).WaitAsync(TimeSpan.FromSeconds(20)));
    }

    [Fact]
    public async Task What_is_larger_than_it_can_be_is_refused()
    {
        File.WriteAllBytes(folder["large"], new byte[Most + 1]);
        Assert.Contains("at most 1000", await RefusedAsync("bytes", folder["large"]), StringComparison.Ordinal);
        File.WriteAllBytes(folder["fits"], new byte[Most]);
        Assert.Equal(Most, RegularFiles.Read(folder["fits"], Most).Length);
    }

    [Fact]
    public void A_mounted_link_is_followed_and_a_mark_dropped()
    {
        File.WriteAllText(folder["file"], "one", System.Text.Encoding.UTF8);
        File.CreateSymbolicLink(folder["link"], folder["file"]);
        Assert.Equal("one", RegularFiles.ReadText(folder["link"], Most));
    }

    [Fact]
    public void What_is_missing_is_said_to_be_missing()
    {
        Assert.Throws<FileNotFoundException>(() => RegularFiles.Read(folder["none"], Most));
        Assert.Throws<DirectoryNotFoundException>(() => RegularFiles.Read(folder["none/none"], Most));
    }

    private static async Task<string> RefusedAsync(string reader, string path) => (await Assert.ThrowsAsync<IOException>(() => Task.Run(() =>
    {
        switch (reader)
        {
            case "secret": SecureFiles.ReadSecret(path); break;
            case "bytes": RegularFiles.Read(path, Most); break;
            default: RegularFiles.ReadText(path, Most); break;
        }
    }).WaitAsync(TimeSpan.FromSeconds(20)))).Message;
}
