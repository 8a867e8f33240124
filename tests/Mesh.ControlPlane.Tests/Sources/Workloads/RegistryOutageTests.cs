using System.Diagnostics;
using Mesh.Api.V1;
using Mesh.ControlPlane.Model;
using Mesh.Tests;

namespace Mesh.ControlPlane.Tests.Sources.Workloads;

/// <summary>Registration while the registry is away, comes late, or comes back with nothing in it.</summary>
public sealed class RegistryOutageTests
{
    [Fact]
    public async Task A_registry_that_comes_later_gets_what_was_pending()
    {
        await using var registry = TestRegistry.Later();
        await using var replica = await TestReplica.StartAsync(registry, "r1");
        await using var workload = new TestWorkload(replica.Address);
        var ack = await workload.SendAsync(new WorkloadUpdate { Register = TestWorkload.Registration("web-1", "web") });
        Assert.Equal(WorkloadAck.Types.Status.Pending, ack.Status);
        Assert.Contains("PUT /v1/txn", ack.Message, StringComparison.Ordinal);
        // The world does not wait for the registry.
        Assert.Equal(["web-1"], replica.Ids("web"));
        await registry.StartAsync();
        var later = await workload.ReadAsync();
        Assert.Equal(WorkloadAck.Types.Status.Accepted, later!.Status);
        await registry.HasAsync("web", "web-1@r1 passing");
        Assert.True(replica.Output.Count("does not take a workload's entry") is 1 or 2, replica.Output.ToString());
    }

    [SkippableTheory, InlineData("consul"), InlineData("built-in")]
    public async Task A_registry_that_comes_back_empty_is_filled_again_and_nothing_is_lost_meanwhile(string kind)
    {
        await using var registry = await TestRegistry.StartAsync(kind);
        // The hold covers the time in which both write again what is theirs, on a busy machine too; the test waits until it is over.
        var hold = TimeSpan.FromSeconds(10);
        await using var one = await TestReplica.StartAsync(registry, "one", emptyHold: hold);
        await using var two = await TestReplica.StartAsync(registry, "two", emptyHold: hold);
        await using var first = await TestWorkload.RegisterAsync(one, "web-1", "web");
        await using var second = await TestWorkload.RegisterAsync(two, "web-2", "web");
        await one.HasAsync("web", "web-1", "web-2");
        await two.HasAsync("web", "web-1", "web-2");
        var least = 2;
        void Watch(World w) => least = Math.Min(least, w.Instances.Count);
        one.Store.Changed += Watch;
        two.Store.Changed += Watch;
        await registry.StopAsync();
        await Eventually.TrueAsync(() => one.Output.Has("Consul does not answer") && two.Output.Has("Consul does not answer"));
        await registry.RestartEmptyAsync();
        var clock = Stopwatch.StartNew();
        await registry.HasAsync("web", "web-1@one passing", "web-2@two passing");
        // By itself it takes a second; the next look at everything is a minute away.
        Assert.True(clock.Elapsed < TestReplica.Fast.ReconcilePeriod / 2, $"after {clock.Elapsed}");
        // A registry that is back within a blink may go unnoticed by one of them, which then learns it from the answer.
        foreach (var replica in (TestReplica[])[one, two])
            await Eventually.TrueAsync(() => replica.Output.Count("Consul does not answer") == replica.Output.Count("Consul answers again"));
        await Task.Delay(hold + TimeSpan.FromSeconds(0.5));
        Assert.True(least == 2, $"{one.Output}\n{two.Output}");
        Assert.Equal(["web-1", "web-2"], one.Ids("web"));
        Assert.Equal(["web-1", "web-2"], two.Ids("web"));
    }

    [Fact]
    public async Task A_workload_that_leaves_while_the_registry_is_away_is_gone_at_once_and_withdrawn_later()
    {
        var folder = Directory.CreateTempSubdirectory("mesh-registry-").FullName;
        await using var registry = TestRegistry.Later(folder);
        await registry.StartAsync();
        await using var replica = await TestReplica.StartAsync(registry, "r1");
        await using var workload = await TestWorkload.RegisterAsync(replica, "web-1", "web");
        await Eventually.TrueAsync(() => replica.Source.Synced.IsCompleted);
        await registry.StopAsync();
        var ack = await workload.SendAsync(new WorkloadUpdate { Leaving = new Leaving() });
        Assert.Equal(WorkloadAck.Types.Status.Accepted, ack.Status);
        await replica.HasAsync("web");
        var shown = 0;
        replica.Store.Changed += w => shown += w.Instances.Count;
        await registry.StartAsync();
        await registry.HasAsync("web");
        await Task.Delay(300);
        Assert.Equal(0, shown);
        Directory.Delete(folder, recursive: true);
    }
}
