using Mesh.Api.Grpc;
using Mesh.Api.V1;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Sources.Consul;
using Mesh.ControlPlane.Sources.Workloads;
using Mesh.Tests;

namespace Mesh.ControlPlane.Tests.Sources.Workloads;

/// <summary>Registration from the sidecar's stream to the registry and back, against a real Consul and the built-in registry alike.</summary>
public sealed class WorkloadRegistryTests : IClassFixture<WorkloadRegistryTests.Registries>
{
    private static int count;
    private readonly Registries registries;
    private readonly string web = $"web{Interlocked.Increment(ref count)}";

    public WorkloadRegistryTests(Registries registries) => this.registries = registries;

    [SkippableTheory, InlineData("consul"), InlineData("built-in")]
    public async Task A_workload_is_in_the_catalog_with_everything_it_said_and_leaves_at_its_word(string kind)
    {
        var registry = await registries.GetAsync(kind);
        await using var replica = await TestReplica.StartAsync(registry, $"r-{web}");
        await using var workload = await TestWorkload.RegisterAsync(replica, $"{web}-1", web);
        Assert.Equal([$"{web}-1"], replica.Ids(web));
        var entry = Assert.Single((await registry.GetAsync($"/v1/health/service/{web}?passing")).EnumerateArray());
        Assert.Equal($"mesh-{web}-1", entry.GetProperty("Node").GetProperty("Node").GetString());
        Assert.Equal(41000, entry.GetProperty("Service").GetProperty("Port").GetInt32());
        var meta = entry.GetProperty("Service").GetProperty("Meta").EnumerateObject().ToDictionary(p => p.Name, p => p.Value.GetString(), StringComparer.Ordinal);
        Assert.Equal(("mesh", "default", $"{web}-deployment", "http:8080:http:41000"), (meta["external-source"], meta["mesh-namespace"], meta["mesh-workload"], meta["mesh-ports"]));
        Assert.StartsWith($"r-{web}-", meta["mesh-owner"], StringComparison.Ordinal);
        Assert.Equal(("v1", "z1", "a"), (meta["version"], meta["zone"], meta["mesh-label-team"]));

        var seenWithout = 0;
        replica.Store.Changed += w => seenWithout += w.Instances.ContainsKey($"{web}-1") ? 0 : 1;
        Assert.Equal(WorkloadAck.Types.Status.Accepted, (await workload.SendAsync(new WorkloadUpdate { Leaving = new Leaving { Reason = "SIGTERM" } })).Status);
        Assert.Null(await workload.ReadAsync());
        await Eventually.TrueAsync(() => replica.Ids(web).Length == 0);
        await registry.HasAsync(web);
        // Neither the watch of the registry nor its hold of empty answers brings it back for a moment.
        await Task.Delay(300);
        Assert.Empty(replica.Ids(web));
        Assert.InRange(seenWithout, 1, 20);
    }

    [SkippableTheory, InlineData("consul"), InlineData("built-in")]
    public async Task Health_flows_into_the_world_and_the_check(string kind)
    {
        var registry = await registries.GetAsync(kind);
        await using var replica = await TestReplica.StartAsync(registry, $"r-{web}");
        await using var workload = await TestWorkload.RegisterAsync(replica, $"{web}-1", web);
        var ack = await workload.SendAsync(new WorkloadUpdate { Health = new Health { State = Health.Types.State.Critical, Detail = "GET /healthz: 503\nbad" } });
        Assert.Equal(WorkloadAck.Types.Status.Accepted, ack.Status);
        await replica.HasAsync(web, $"{web}-1:Critical");
        await registry.HasAsync(web, $"{web}-1@r-{web} critical");
        Assert.Equal("GET /healthz: 503 bad", (await registry.GetAsync($"/v1/health/service/{web}"))[0].GetProperty("Checks")[0].GetProperty("Output").GetString());
        await workload.SendAsync(new WorkloadUpdate { Health = new Health { State = Health.Types.State.Passing } });
        await registry.HasAsync(web, $"{web}-1@r-{web} passing");
    }

    [SkippableTheory, InlineData("consul"), InlineData("built-in")]
    public async Task A_port_that_is_down_is_known_by_itself_to_every_replica(string kind)
    {
        var registry = await registries.GetAsync(kind);
        await using var replica = await TestReplica.StartAsync(registry, $"r-{web}");
        await using var other = await TestReplica.StartAsync(registry, $"r2-{web}");
        var registration = TestWorkload.Registration($"{web}-1", web);
        registration.Ports.Add(new Port { Port_ = 9090, ListenPort = 39090, Name = "more" });
        registration.PortsDown.Add(9090);
        await using var workload = new TestWorkload(replica.Address);
        Assert.Equal(WorkloadAck.Types.Status.Accepted, (await workload.SendAsync(new WorkloadUpdate { Register = registration })).Status);
        await registry.HasAsync(web, $"{web}-1@r-{web} warning");
        foreach (var one in new[] { replica, other })
        {
            await one.HasAsync(web, $"{web}-1");
            await Eventually.TrueAsync(() => Endpoints(one) == "1 0");
        }

        await workload.SendAsync(new WorkloadUpdate { Health = new Health { State = Health.Types.State.Passing, PortsDown = { 8080 } } });
        foreach (var one in new[] { replica, other }) await Eventually.TrueAsync(() => Endpoints(one) == "0 1");
        await workload.SendAsync(new WorkloadUpdate { Health = new Health { State = Health.Types.State.Passing } });
        foreach (var one in new[] { replica, other }) await Eventually.TrueAsync(() => Endpoints(one) == "1 1");
        await registry.HasAsync(web, $"{web}-1@r-{web} passing");
        string Endpoints(TestReplica one) => string.Join(' ', one.Store.Current.Services.Values.Single(service => service.Name.Name == web).Ports.Select(port => port.Endpoints.Length));
    }

    [SkippableTheory, InlineData("consul"), InlineData("built-in")]
    public async Task A_broken_stream_has_its_grace_and_a_return_within_it_changes_nothing(string kind)
    {
        var registry = await registries.GetAsync(kind);
        var patient = TestReplica.Fast with { Grace = TimeSpan.FromSeconds(4) };
        await using var replica = await TestReplica.StartAsync(registry, $"r-{web}", patient);
        await using var other = await TestWorkload.RegisterAsync(replica, $"{web}-2", web);
        var workload = await TestWorkload.RegisterAsync(replica, $"{web}-1", web);
        await registry.HasAsync(web, $"{web}-1@r-{web} passing", $"{web}-2@r-{web} passing");
        await Eventually.TrueAsync(() => replica.Source.Synced.IsCompleted);
        await replica.SettlesAsync();
        var version = replica.Store.Current.Version;
        var index = await IndexAsync(registry);
        await workload.DisposeAsync();
        await Eventually.TrueAsync(() => replica.Output.Has("workload lost its stream"));
        workload = await TestWorkload.RegisterAsync(replica, $"{web}-1", web);
        await Task.Delay(patient.Grace + TimeSpan.FromMilliseconds(200));
        Assert.Equal((version, index), (replica.Store.Current.Version, await IndexAsync(registry)));

        await workload.DisposeAsync();
        await replica.HasAsync(web, $"{web}-2");
        await registry.HasAsync(web, $"{web}-2@r-{web} passing");
    }

    [SkippableTheory, InlineData("consul"), InlineData("built-in")]
    public async Task A_restart_of_the_control_plane_makes_nothing_flap(string kind)
    {
        var registry = await registries.GetAsync(kind);
        var first = await TestReplica.StartAsync(registry, $"r-{web}");
        var stays = await TestWorkload.RegisterAsync(first, $"{web}-1", web);
        var goes = await TestWorkload.RegisterAsync(first, $"{web}-2", web);
        var health = first.Store.Current.Instances[$"{web}-1"];
        await first.DisposeAsync();
        Assert.Equal(GrpcStatusCode.Unavailable, (await stays.EndAsync()).Code);
        await goes.DisposeAsync();
        await stays.DisposeAsync();
        await registry.HasAsync(web, $"{web}-1@r-{web} passing", $"{web}-2@r-{web} passing");

        await using var second = await TestReplica.StartAsync(registry, $"r-{web}", TestReplica.Fast with { OrphanGrace = TimeSpan.FromSeconds(5) });
        await second.Source.Synced.WaitAsync(TimeSpan.FromSeconds(30));
        Assert.Equal([$"{web}-1", $"{web}-2"], second.Ids(web));
        Assert.Equal(health, second.Store.Current.Instances[$"{web}-1"]);
        var lost = 0;
        second.Store.Changed += w => lost += w.Instances.ContainsKey($"{web}-1") ? 0 : 1;
        var version = second.Store.Current.Version;
        await using var back = await TestWorkload.RegisterAsync(second, $"{web}-1", web);
        await registry.HasAsync(web, $"{web}-1@r-{web} passing", $"{web}-2@r-{web} passing");
        // The new owner is a change of the registry, but of nothing that the mesh knows.
        Assert.Equal(version + 1, second.Store.Current.Version);
        // The one that does not come back is collected after its grace.
        await second.HasAsync(web, $"{web}-1");
        await registry.HasAsync(web, $"{web}-1@r-{web} passing");
        Assert.Equal(0, lost);
    }

    [SkippableTheory, InlineData("consul"), InlineData("built-in")]
    public async Task Orphans_of_a_dead_replica_are_collected_after_their_grace_and_those_of_a_live_one_are_not(string kind)
    {
        var registry = await registries.GetAsync(kind);
        await using var live = await TestReplica.StartAsync(registry, $"live-{web}", TestReplica.Fast with { OrphanGrace = TimeSpan.FromSeconds(5) });
        await using var kept = await TestWorkload.RegisterAsync(live, $"{web}-kept", web);
        using var client = new ConsulClient(new ConsulOptions { Address = registry.Address }, TimeProvider.System);
        using var dead = new CatalogWriter(client, $"dead-{web}", 4);
        Assert.NotNull((await dead.TryWriteAsync(Desired($"{web}-lost"), CatalogEntry.Absent, default)).Written);
        Assert.NotNull((await dead.TryWriteAsync(Desired($"{web}-back"), CatalogEntry.Absent, default)).Written);
        await live.HasAsync(web, $"{web}-back", $"{web}-kept", $"{web}-lost");
        await using var back = await TestWorkload.RegisterAsync(live, $"{web}-back", web);
        await live.HasAsync(web, $"{web}-back", $"{web}-kept");
        await registry.HasAsync(web, $"{web}-back@live-{web} passing", $"{web}-kept@live-{web} passing");
        Assert.Equal(1, live.Output.Count($"is removed workload={web}-"));
    }

    [SkippableTheory, InlineData("consul"), InlineData("built-in")]
    public async Task A_workload_that_moves_to_another_replica_is_owned_there_and_not_withdrawn_by_the_old_one(string kind)
    {
        var registry = await registries.GetAsync(kind);
        await using var one = await TestReplica.StartAsync(registry, $"one-{web}");
        await using var two = await TestReplica.StartAsync(registry, $"two-{web}");
        await using var first = await TestWorkload.RegisterAsync(one, $"{web}-1", web);
        await two.HasAsync(web, $"{web}-1");
        var lost = 0;
        two.Store.Changed += w => lost += w.Instances.ContainsKey($"{web}-1") ? 0 : 1;
        one.Store.Changed += w => lost += w.Instances.ContainsKey($"{web}-1") ? 0 : 1;
        await using var second = await TestWorkload.RegisterAsync(two, $"{web}-1", web);
        // The old stream, still open, hears who has the workload now.
        var end = await first.EndAsync();
        Assert.Equal((GrpcStatusCode.Aborted, true), (end.Code, end.Message.Contains($"two-{web}", StringComparison.Ordinal)));
        await Task.Delay(TestReplica.Fast.Grace + TimeSpan.FromMilliseconds(300));
        await registry.HasAsync(web, $"{web}-1@two-{web} passing");
        Assert.Equal(0, lost);
        await second.SendAsync(new WorkloadUpdate { Leaving = new Leaving() });
        await registry.HasAsync(web);
        await one.HasAsync(web);
    }

    [SkippableTheory, InlineData("consul"), InlineData("built-in")]
    public async Task Two_writers_of_one_entry_do_not_overwrite_each_other_unseen(string kind)
    {
        var registry = await registries.GetAsync(kind);
        using var client = new ConsulClient(new ConsulOptions { Address = registry.Address }, TimeProvider.System);
        using var one = new CatalogWriter(client, "one", 4);
        using var two = new CatalogWriter(client, "two", 4);
        var desired = Desired($"{web}-1");
        var results = await Task.WhenAll(one.TryWriteAsync(desired, CatalogEntry.Absent, default), two.TryWriteAsync(desired, CatalogEntry.Absent, default));
        var winner = Assert.Single(results, r => r.Written is not null).Written!;
        Assert.Contains("index is stale", Assert.Single(results, r => r.Written is null).Words, StringComparison.Ordinal);
        Assert.Equal(winner, await one.ReadAsync($"{web}-1", default));
        var taken = (await two.TryWriteAsync(desired, winner, default)).Written!;
        // With the index of before the change of owner nothing can be removed.
        if (winner.Owner == "one") Assert.False(await one.TryDeleteAsync($"{web}-1", winner.Node, default));
        Assert.True(await two.TryDeleteAsync($"{web}-1", taken.Node, default));
        Assert.Equal(CatalogEntry.Absent, await one.ReadAsync($"{web}-1", default));
    }

    [SkippableTheory, InlineData("consul"), InlineData("built-in")]
    public async Task An_entry_removed_or_changed_by_hand_comes_back(string kind)
    {
        var registry = await registries.GetAsync(kind);
        await using var replica = await TestReplica.StartAsync(registry, $"r-{web}");
        await using var workload = await TestWorkload.RegisterAsync(replica, $"{web}-1", web);
        foreach (var body in (string[])[$$"""{"Node":"mesh-{{web}}-1"}""", $$"""{"Node":"mesh-{{web}}-1","ServiceID":"{{web}}-1"}"""])
        {
            await Eventually.TrueAsync(() => replica.Source.Synced.IsCompleted);
            await registry.PutAsync("/v1/catalog/deregister", body);
            await registry.HasAsync(web, $"{web}-1@r-{web} passing");
            Assert.Equal([$"{web}-1"], replica.Ids(web));
        }
    }

    [SkippableTheory, InlineData("consul"), InlineData("built-in")]
    public async Task Foreign_instances_live_beside_ours_and_ours_are_never_read_back_as_foreign(string kind)
    {
        var registry = await registries.GetAsync(kind);
        await registry.PutAsync("/v1/catalog/register", $$"""{"Node":"ext-{{web}}","Address":"10.0.0.7","Service":{"ID":"f1","Service":"{{web}}","Port":80,"Meta":{"external-source":"nomad"} } }""");
        await using var one = await TestReplica.StartAsync(registry, $"one-{web}");
        await using var two = await TestReplica.StartAsync(registry, $"two-{web}");
        await using var workload = await TestWorkload.RegisterAsync(one, $"{web}-1", web);
        await two.HasAsync(web, $"ext-{web}/f1", $"{web}-1");
        await one.HasAsync(web, $"ext-{web}/f1", $"{web}-1");
        foreach (var world in (World[])[one.Store.Current, two.Store.Current])
        {
            Assert.True(world.Instances[$"{web}-1"].Meshed);
            Assert.False(world.Instances[$"ext-{web}/f1"].Meshed);
        }

        Assert.Equal(one.Store.Current.Instances[$"{web}-1"], two.Store.Current.Instances[$"{web}-1"]);
        await registry.PutAsync("/v1/catalog/deregister", $$"""{"Node":"ext-{{web}}"}""");
    }

    [SkippableTheory, InlineData("consul"), InlineData("built-in")]
    public async Task Two_control_planes_given_one_name_by_mistake_leave_each_others_workloads_alone(string kind)
    {
        var registry = await registries.GetAsync(kind);
        await using var one = await TestReplica.StartAsync(registry, $"r-{web}");
        await using var two = await TestReplica.StartAsync(registry, $"r-{web}");
        await using var first = await TestWorkload.RegisterAsync(one, $"{web}-1", web);
        await using var second = await TestWorkload.RegisterAsync(two, $"{web}-2", web);
        await Task.Delay(TestReplica.Fast.OrphanGrace + (3 * TestReplica.Fast.CollectPeriod));
        await registry.HasAsync(web, $"{web}-1@r-{web} passing", $"{web}-2@r-{web} passing");
        Assert.False(one.Output.Has($"is removed workload={web}-") || two.Output.Has($"is removed workload={web}-"));
    }

    [SkippableTheory, InlineData("consul"), InlineData("built-in")]
    public async Task The_sign_of_life_is_a_key_that_goes_with_its_control_plane(string kind)
    {
        var registry = await registries.GetAsync(kind);
        async Task<string?> HolderAsync() => (await registry.GetAsync("/v1/kv/mesh/replicas/?recurse")).EnumerateArray()
            .Where(k => k.GetProperty("Key").GetString()!.StartsWith($"mesh/replicas/r-{web}-", StringComparison.Ordinal))
            .Select(k => k.GetProperty("Session").GetString()).SingleOrDefault();
        await using var other = await TestReplica.StartAsync(registry, $"other-{web}");
        await using (await TestReplica.StartAsync(registry, $"r-{web}"))
        {
            await Eventually.PassesAsync(async () => Assert.NotNull(await HolderAsync()));
            var before = await HolderAsync();
            await registry.PutAsync($"/v1/session/destroy/{before}", "");
            await Eventually.PassesAsync(async () => Assert.NotEqual(before, Assert.IsType<string>(await HolderAsync())));
        }

        await Eventually.PassesAsync(async () => Assert.Null(await HolderAsync()));
    }

    private DesiredEntry Desired(string id)
    {
        var problem = RegistrationRules.Check(TestWorkload.Registration(id, web), out var instance);
        Assert.Null(problem);
        return new DesiredEntry(instance!, "", 1, 1);
    }

    private static async Task<string> IndexAsync(TestRegistry registry)
    {
        using var answer = await registry.Client.GetAsync("/v1/catalog/services");
        return answer.Headers.GetValues("X-Consul-Index").Single();
    }

    /// <summary>One registry of each kind for all tests; each test has its own service and replicas.</summary>
    public sealed class Registries : IAsyncLifetime
    {
        private readonly Dictionary<string, TestRegistry> started = new(StringComparer.Ordinal);

        public async Task<TestRegistry> GetAsync(string kind)
        {
            if (!started.TryGetValue(kind, out var registry)) started[kind] = registry = await TestRegistry.StartAsync(kind);
            return registry;
        }

        public Task InitializeAsync() => Task.CompletedTask;

        public async Task DisposeAsync()
        {
            foreach (var registry in started.Values) await registry.DisposeAsync();
        }
    }
}
