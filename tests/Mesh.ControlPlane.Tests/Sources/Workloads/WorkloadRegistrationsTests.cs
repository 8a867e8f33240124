using Mesh.Api.Logging;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Sources;
using Mesh.ControlPlane.Sources.Workloads;
using Mesh.Tests;

namespace Mesh.ControlPlane.Tests.Sources.Workloads;

/// <summary>The states of a workload on a clock that the test moves: connected, in grace, gone.</summary>
public sealed class WorkloadRegistrationsTests : IDisposable
{
    private readonly ManualTimeProvider time = new();
    private readonly WorldStore store = new();
    private readonly WithdrawnWorkloads withdrawn;
    private readonly WorkloadRegistrations registrations;
    private readonly List<string> changes = [];

    public WorkloadRegistrationsTests()
    {
        withdrawn = new WithdrawnWorkloads("r1", time);
        registrations = new WorkloadRegistrations(store, withdrawn, new WorkloadOptions { Grace = TimeSpan.FromSeconds(10), Spacing = TimeSpan.Zero }, time, Log.Silent);
        registrations.Changed += changes.Add;
    }

    [Fact]
    public void The_grace_time_ends_to_the_tick_and_only_when_nobody_came_back()
    {
        var first = Register("web-1");
        registrations.Disconnect(first);
        time.Advance(TimeSpan.FromSeconds(9.999));
        Assert.True(IsInWorld("web-1"));
        var second = Register("web-1");
        time.Advance(TimeSpan.FromSeconds(100));
        Assert.True(IsInWorld("web-1"));
        registrations.Disconnect(second);
        time.Advance(TimeSpan.FromSeconds(9.999));
        Assert.True(IsInWorld("web-1"));
        time.Advance(TimeSpan.FromMilliseconds(1));
        Assert.False(IsInWorld("web-1"));
        Assert.Null(registrations.Desired("web-1"));
        Assert.Equal(0, time.ActiveTimers);
    }

    [Fact]
    public void What_the_registry_still_says_about_a_withdrawn_workload_is_hidden_before_it_leaves_the_slice()
    {
        var lease = Register("web-1");
        var entry = new RegistryEntry(store.Current.Instances["web-1"], "r1", 5);
        var wasInWorld = false;
        withdrawn.Changed += () => wasInWorld = IsInWorld("web-1") && withdrawn.Hides(entry);
        Assert.False(withdrawn.Hides(entry));
        registrations.Leave(lease, "");
        Assert.True(wasInWorld);
        Assert.False(IsInWorld("web-1"));
        // Another replica may own it by now; its word counts.
        Assert.False(withdrawn.Hides(entry with { Owner = "r2" }));
        Register("web-1");
        Assert.False(withdrawn.Hides(entry));
    }

    [Fact]
    public void An_old_stream_cannot_touch_what_a_newer_one_holds()
    {
        var old = Register("web-1");
        var young = Register("web-1");
        Assert.True(old.Lost.IsCancellationRequested);
        Assert.False(young.Lost.IsCancellationRequested);
        registrations.Leave(old, "");
        registrations.Disconnect(old);
        Assert.NotNull(registrations.SetHealth(old, new WorkloadHealth(InstanceHealth.Critical, [], ""), out _));
        time.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal(InstanceHealth.Passing, store.Current.Instances["web-1"].Health);
    }

    [Fact]
    public void Giving_way_ends_the_stream_and_does_not_withdraw()
    {
        var lease = Register("web-1");
        var desired = registrations.Desired("web-1")!;
        registrations.Yield("web-1", desired.Lease + 1, "r2");
        Assert.False(lease.Lost.IsCancellationRequested);
        registrations.Yield("web-1", desired.Lease, "r2");
        Assert.True(lease.Lost.IsCancellationRequested);
        Assert.False(withdrawn.Hides(new RegistryEntry(desired.Instance, "r1", 5)));
    }

    [Fact]
    public void Closing_ends_streams_and_changes_nothing()
    {
        var lease = Register("web-1");
        var gone = Register("web-2");
        registrations.Disconnect(gone);
        changes.Clear();
        registrations.Close();
        Assert.True(lease is { Stopping: true, Lost.IsCancellationRequested: true });
        registrations.Disconnect(lease);
        time.Advance(TimeSpan.FromMinutes(1));
        Assert.True(IsInWorld("web-1") && IsInWorld("web-2"));
        Assert.Empty(changes);
        Assert.True(registrations.TryOpen()!.Lost.IsCancellationRequested);
    }

    [Fact]
    public async Task Progress_wakes_those_who_wait_for_it()
    {
        var lease = Register("web-1");
        var generation = registrations.Desired("web-1")!.Generation;
        var failed = registrations.WaitAsync(lease, generation, orFailure: true, default);
        var done = registrations.WaitAsync(lease, generation, orFailure: false, default);
        registrations.Report("web-1", generation, "no leader");
        Assert.Equal("no leader", (await failed).Error);
        Assert.False(done.IsCompleted);
        registrations.Report("web-1", generation, null);
        Assert.Equal(generation, (await done).Written);
        registrations.SetHealth(lease, new WorkloadHealth(InstanceHealth.Warning, [], ""), out var next);
        Assert.False(registrations.WaitAsync(lease, next, orFailure: true, default).IsCompleted);
    }

    public void Dispose() => registrations.Dispose();

    private WorkloadLease Register(string id)
    {
        var lease = registrations.TryOpen()!;
        Assert.Null(RegistrationRules.Check(TestWorkload.Registration(id, "web"), out var instance));
        Assert.Null(registrations.Register(lease, instance!, "", out _));
        return lease;
    }

    private bool IsInWorld(string id) => store.Current.Instances.ContainsKey(id);
}
