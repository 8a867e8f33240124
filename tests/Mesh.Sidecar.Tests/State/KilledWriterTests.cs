using System.Globalization;
using Mesh.Sidecar.State;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests.State;

/// <summary>Who keeps a configuration is killed at any moment of it: what was kept before is there, or what came after, whole. Never half.</summary>
public sealed class KilledWriterTests
{
    private const int Kills = 40;

    private static readonly string Program = Path.Combine(
        AppContext.BaseDirectory, "../../Mesh.StateWriter", new DirectoryInfo(AppContext.BaseDirectory.TrimEnd('/')).Name, "state-writer");

    [Fact]
    public async Task WhatIsReadAfterwardsIsWhole()
    {
        using var outer = new TemporaryFolder();
        var random = new Random(20261121);
        var (last, halfWritten) = (0, 0);
        for (var i = 0; i < Kills; i++)
        {
            var before = last;
            await using (var writer = ChildProcess.Start(Program, [outer["state"], $"{last + 1}"]))
            {
                await writer.NextLineAsync();
                // A write takes some milliseconds; where in one the kill falls is left to chance.
                await Task.Delay(TimeSpan.FromMilliseconds(random.NextDouble() * 60));
                await writer.KillAsync();
                last = int.Parse(writer.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries)[^1], CultureInfo.InvariantCulture);
            }

            var drafts = Directory.GetFiles(outer["state"], "*.new");
            halfWritten += drafts.Length;
            var kept = new StateFolder(outer["state"], TimeProvider.System).Read();
            Assert.NotNull(kept);
            var number = int.Parse(kept.Identity, CultureInfo.InvariantCulture);
            // What it said is kept, or the one that it had no time to speak of.
            Assert.InRange(number, last, last + 1);
            Assert.True(number > before, "it went on from where it was");
            var resources = Assert.Single(kept.Resources).Resources_;
            Assert.Equal((number % 8) + 1, resources.Count);
            Assert.All(resources, one => Assert.True(one.Value.Length == 300_000 && !one.Value.Span.ContainsAnyExcept((byte)(number % 251)), $"not what {number} wrote"));
            // And nothing is heaped up.
            Assert.Empty(Directory.GetFiles(outer["state"], "*.new"));
            last = number;
        }

        Assert.InRange(halfWritten, 5, Kills);
    }
}
