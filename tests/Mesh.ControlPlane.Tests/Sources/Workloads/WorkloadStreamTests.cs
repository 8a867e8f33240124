using Mesh.Api.Grpc;
using Mesh.Api.V1;
using Mesh.Tests;

namespace Mesh.ControlPlane.Tests.Sources.Workloads;

/// <summary>What a stream may say and how it is answered; over real gRPC, with the built-in registry behind.</summary>
public sealed class WorkloadStreamTests : IAsyncLifetime
{
    private readonly TestRegistry registry = TestRegistry.Later();
    private TestReplica replica = null!;

    public async Task InitializeAsync()
    {
        await registry.StartAsync();
        replica = await TestReplica.StartAsync(registry, "r1", TestReplica.Fast with { MaxWorkloads = 3 });
    }

    public async Task DisposeAsync()
    {
        await replica.DisposeAsync();
        await registry.DisposeAsync();
    }

    [Fact]
    public async Task Of_two_live_streams_of_one_workload_the_newer_wins()
    {
        await using var old = await TestWorkload.RegisterAsync(replica, "web-1", "web");
        await using var young = await TestWorkload.RegisterAsync(replica, "web-1", "web");
        var end = await old.EndAsync();
        Assert.Equal(GrpcStatusCode.Aborted, end.Code);
        Assert.Contains("newer stream", end.Message, StringComparison.Ordinal);
        await Task.Delay(TestReplica.Fast.Grace + TimeSpan.FromMilliseconds(200));
        await registry.HasAsync("web", "web-1@r1 passing");
        Assert.Equal(WorkloadAck.Types.Status.Accepted, (await young.SendAsync(Say(Health.Types.State.Warning))).Status);
    }

    [Fact]
    public async Task New_facts_replace_the_old_ones()
    {
        await using var workload = await TestWorkload.RegisterAsync(replica, "web-1", "web");
        var changed = TestWorkload.Registration("web-1", "shop");
        changed.Ports.Add(new Port { Port_ = 9090, Protocol = "grpc", ListenPort = 41001 });
        var ack = await workload.SendAsync(new WorkloadUpdate { Register = changed });
        Assert.Equal((WorkloadAck.Types.Status.Accepted, ""), (ack.Status, ack.Message));
        await registry.HasAsync("shop", "web-1@r1 passing");
        await registry.HasAsync("web");
        await replica.HasAsync("shop", "web-1");
        await replica.HasAsync("web");
        Assert.Equal(2, replica.Store.Current.Instances["web-1"].Ports.Length);
    }

    [Fact]
    public async Task A_workload_without_ports_is_registered_too()
    {
        await using var workload = new TestWorkload(replica.Address);
        var client = TestWorkload.Registration("load-1", "load");
        client.Ports.Clear();
        Assert.Equal(WorkloadAck.Types.Status.Accepted, (await workload.SendAsync(new WorkloadUpdate { Register = client })).Status);
        await replica.HasAsync("load", "load-1");
        Assert.Empty(replica.Store.Current.Notices);
    }

    [Fact]
    public async Task What_makes_no_sense_is_refused_in_words_and_the_stream_goes_on()
    {
        await using var workload = new TestWorkload(replica.Address);
        foreach (var (update, words) in new (WorkloadUpdate, string)[]
        {
            (new WorkloadUpdate(), "neither register, health nor leaving"),
            (Say(Health.Types.State.Passing), "no workload is registered"),
            (new WorkloadUpdate { Register = TestWorkload.Registration("web 1", "web") }, "id 'web 1'"),
        })
        {
            var ack = await workload.SendAsync(update);
            Assert.Equal(WorkloadAck.Types.Status.Refused, ack.Status);
            Assert.Contains(words, ack.Message, StringComparison.Ordinal);
        }

        Assert.Equal(WorkloadAck.Types.Status.Accepted, (await workload.SendAsync(new WorkloadUpdate { Register = TestWorkload.Registration("web-1", "web") })).Status);
        Assert.Contains("its own stream", (await workload.SendAsync(new WorkloadUpdate { Register = TestWorkload.Registration("web-2", "web") })).Message, StringComparison.Ordinal);
        Assert.Contains("PASSING, WARNING or CRITICAL", (await workload.SendAsync(Say(Health.Types.State.Unspecified))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_number_of_workloads_is_bounded()
    {
        await using var a = await TestWorkload.RegisterAsync(replica, "web-1", "web");
        await using var b = await TestWorkload.RegisterAsync(replica, "web-2", "web");
        await using var c = await TestWorkload.RegisterAsync(replica, "web-3", "web");
        await using var d = new TestWorkload(replica.Address);
        var ack = await d.SendAsync(new WorkloadUpdate { Register = TestWorkload.Registration("web-4", "web") });
        Assert.Equal(WorkloadAck.Types.Status.Refused, ack.Status);
        Assert.Contains("its limit", ack.Message, StringComparison.Ordinal);
        await replica.HasAsync("web", "web-1", "web-2", "web-3");
        await c.DisposeAsync();
        await replica.HasAsync("web", "web-1", "web-2");
        // Its place is free when the registry has forgotten it too, which is after the world has.
        await Eventually.PassesAsync(async () => Assert.Equal(
            WorkloadAck.Types.Status.Accepted, (await d.SendAsync(new WorkloadUpdate { Register = TestWorkload.Registration("web-4", "web") })).Status));
    }

    [Theory, InlineData(false), InlineData(true)]
    public async Task A_stream_that_registers_nothing_is_ended(bool talks)
    {
        await using var hasty = await TestReplica.StartAsync(registry, "r2", TestReplica.Fast with { RegisterWithin = TimeSpan.FromMilliseconds(300) });
        await using var registered = await TestWorkload.RegisterAsync(hasty, "web-1", "web");
        await using var idle = new TestWorkload(hasty.Address);
        if (talks) Assert.Equal(WorkloadAck.Types.Status.Refused, (await idle.SendAsync(Say(Health.Types.State.Passing))).Status);
        var end = await idle.EndAsync();
        Assert.Equal((GrpcStatusCode.DeadlineExceeded, "no workload registered within 0.3 seconds"), (end.Code, end.Status.Message));
        // The one that did register lives on.
        Assert.Equal(WorkloadAck.Types.Status.Accepted, (await registered.SendAsync(Say(Health.Types.State.Warning))).Status);
    }

    [Fact]
    public async Task The_number_of_streams_is_bounded()
    {
        await using var small = await TestReplica.StartAsync(registry, "r2", TestReplica.Fast with { MaxWorkloads = 1, SpareStreams = 1 });
        await using var one = await TestWorkload.RegisterAsync(small, "web-1", "web");
        await using (var two = new TestWorkload(small.Address))
        {
            Assert.Equal(WorkloadAck.Types.Status.Refused, (await two.SendAsync(Say(Health.Types.State.Passing))).Status);
            await using var three = new TestWorkload(small.Address);
            Assert.Equal(GrpcStatusCode.ResourceExhausted, (await three.EndAsync()).Code);
        }

        await Eventually.PassesAsync(async () =>
        {
            await using var again = new TestWorkload(small.Address);
            Assert.Equal(WorkloadAck.Types.Status.Refused, (await again.SendAsync(Say(Health.Types.State.Passing))).Status);
        });
    }

    [Fact]
    public async Task Health_that_flaps_ends_in_the_last_word_everywhere()
    {
        await using var workload = await TestWorkload.RegisterAsync(replica, "web-1", "web");
        for (var i = 0; i < 200; i++) await workload.WriteAsync(Say(i % 2 == 0 ? Health.Types.State.Critical : Health.Types.State.Passing));
        await workload.WriteAsync(Say(Health.Types.State.Warning));
        for (var i = 0; i < 201; i++) Assert.Equal(WorkloadAck.Types.Status.Accepted, (await workload.ReadAsync())!.Status);
        await registry.HasAsync("web", "web-1@r1 warning");
        await replica.HasAsync("web", "web-1:Warning");
    }

    private static WorkloadUpdate Say(Health.Types.State state) => new() { Health = new Health { State = state } };
}
