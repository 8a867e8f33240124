using Mesh.Api.Logging;
using Mesh.ControlPlane.Sources;
using Mesh.ControlPlane.Sources.Consul;
using Mesh.Tests;

namespace Mesh.ControlPlane.Tests.Sources.Consul;

/// <summary>The loops that follow services, by themselves.</summary>
public sealed class ServiceWatchesTests
{
    [Fact]
    public async Task A_service_may_be_let_go_after_its_loop_has_ended()
    {
        await using var fake = await FakeConsul.StartAsync();
        fake.Set("web", FakeConsul.Foreign("a", 1));
        using var client = new ConsulClient(new ConsulOptions { Address = fake.Address }, TimeProvider.System);
        var withdrawn = new WithdrawnWorkloads("r1", TimeProvider.System);
        var options = RunningSource.Fast with { Linger = TimeSpan.Zero };
        using var watches = new ServiceWatches(client, withdrawn, options, new SourceClock(TimeProvider.System, new Random(1)), Log.Silent);
        using var stop = new CancellationTokenSource();
        watches.Follow(["web"], ["web"], stop.Token);
        await Eventually.TrueAsync(() => watches.Unanswered().Length == 0);

        // All ends, and the review of what is followed is still about to look once more.
        await stop.CancelAsync();
        await watches.EndAsync();
        watches.Follow([], ["web"], stop.Token);
        await watches.EndAsync();
        Assert.Empty(watches.Snapshot(["web"]).Instances);
    }
}
