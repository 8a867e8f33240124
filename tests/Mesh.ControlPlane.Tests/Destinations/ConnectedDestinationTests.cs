using System.Net;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Mesh.Api.Destinations;
using Mesh.Api.V1;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Model.Policies;
using Mesh.ControlPlane.Tests.Xds;
using Mesh.ControlPlane.Xds;
using Mesh.Tests;
using Node = Envoy.Config.Core.V3.Node;
using Verdict = Mesh.Api.V1.DestinationAnswer.Types.Verdict;

namespace Mesh.ControlPlane.Tests.Destinations;

/// <summary>Who is connected by ADS and not registered, over real streams: never plaintext to one whose traffic is captured.</summary>
public sealed class ConnectedDestinationTests
{
    private const string Capture = """{"workload": "web-1", "capture": {"mode": "redirect", "outbound": ["127.0.0.1:15001"], "inbound": ["0.0.0.0:15006"], "dns": true}}""";

    [Fact]
    public async Task A_captured_node_is_of_the_mesh_as_soon_as_it_is_connected_and_a_grace_time_after_it_went()
    {
        var time = new ManualTimeProvider();
        await using var server = await AdsTestServer.StartAsync(Task.CompletedTask, time);
        Assert.Equal(Verdict.NotMeshed, (await AskAsync(server)).Verdict);
        await using (var node = new AdsClient(server.Channel, node: Node(Capture), identity: "default/web"))
        {
            await node.AskAsync(ResourceKind.Listeners);
            await node.ReadAsync(ResourceKind.Listeners);
            var answer = await AskAsync(server);
            Assert.Equal((Verdict.Meshed, "web.default.svc.cluster.local", "web-1"), (answer.Verdict, answer.Service, answer.Workload));
            Assert.Equal([TestCaller.Id("default/web")], answer.Identities);
            Assert.Equal(Verdict.NotMeshed, (await AskAsync(server, "127.0.0.8")).Verdict);
        }

        await Eventually.HoldsAsync(() => server.Nodes.Count == 0, "the stream has ended");
        Assert.Equal(Verdict.Meshed, (await AskAsync(server)).Verdict);
        time.Advance(AdsTestServer.Grace - TimeSpan.FromSeconds(1));
        Assert.Equal(Verdict.Meshed, (await AskAsync(server)).Verdict);
        time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(Verdict.NotMeshed, (await AskAsync(server)).Verdict);
    }

    [Fact]
    public async Task Who_comes_back_within_its_grace_time_stays()
    {
        var time = new ManualTimeProvider();
        await using var server = await AdsTestServer.StartAsync(Task.CompletedTask, time);
        for (var i = 0; i < 3; i++)
        {
            await using var node = new AdsClient(server.Channel, node: Node(Capture), identity: "default/web");
            await node.AskAsync(ResourceKind.Listeners);
            await node.ReadAsync(ResourceKind.Listeners);
            time.Advance(AdsTestServer.Grace);
            Assert.Equal(Verdict.Meshed, (await AskAsync(server)).Verdict);
        }
    }

    [Theory]
    // Nobody: it proved nothing.
    [InlineData(Capture, null)]
    // Its traffic is not captured: only the ports it registers are anybody's.
    [InlineData("""{"workload": "web-1", "outbound": "127.0.0.1:15001"}""", "default/web")]
    public async Task Others_count_when_they_are_registered(string metadata, string? identity)
    {
        await using var server = await AdsTestServer.StartAsync();
        await using var node = new AdsClient(server.Channel, node: Node(metadata), identity: identity);
        await node.AskAsync(ResourceKind.Listeners);
        await node.ReadAsync(ResourceKind.Listeners);
        Assert.Equal(Verdict.NotMeshed, (await AskAsync(server)).Verdict);
    }

    [Theory]
    [InlineData(false, Verdict.NotMeshed)]
    [InlineData(true, Verdict.Meshed)]
    public async Task An_address_it_is_not_seen_at_is_its_own_by_grant_only(bool granted, Verdict expected)
    {
        await using var server = await AdsTestServer.StartAsync();
        if (granted) server.Store.SetTrust(Trust.None with { Grants = [new Grant(TestCaller.Id("default/web"), [new ServiceName("default", "web")], ["10.0.0.9"])] });
        await using var node = new AdsClient(server.Channel, node: Node(Capture, "10.0.0.9"), identity: "default/web");
        await node.AskAsync(ResourceKind.Listeners);
        await node.ReadAsync(ResourceKind.Listeners);
        Assert.Equal(expected, (await AskAsync(server, "10.0.0.9")).Verdict);
    }

    [Theory]
    // What the node says its address is, where its connection comes from, whether it is believed.
    [InlineData("10.0.0.5", "10.0.0.5", true)]
    [InlineData("10.0.0.5", "::ffff:10.0.0.5", true)]
    [InlineData("::ffff:10.0.0.5", "10.0.0.5", true)]
    [InlineData("2001:db8::5", "2001:db8:0::5", true)]
    // Another's: a database of nobody's mesh, a neighbour, the loopback from afar.
    [InlineData("10.0.0.9", "10.0.0.5", false)]
    [InlineData("127.0.0.9", "10.0.0.5", false)]
    // Behind address translation its own address is not the one it is seen at; that one is, whatever it says.
    [InlineData("10.0.0.5", "192.0.2.1", false)]
    // Of two families one is seen.
    [InlineData("2001:db8::5", "10.0.0.5", false)]
    [InlineData("fe80::5", "fe80::5%3", false)]
    [InlineData("0.0.0.0", "10.0.0.5", false)]
    [InlineData("::", "2001:db8::5", false)]
    public async Task A_node_has_the_address_it_is_seen_at(string said, string seenAt, bool believed)
    {
        await using var server = await AdsTestServer.StartAsync();
        await using var node = new AdsClient(server.Channel, node: Node(Capture, said), identity: "default/web", seenAt: seenAt);
        await node.AskAsync(ResourceKind.Listeners);
        // It is served all the same: what it may not have is what others would be told of that address.
        await node.ReadAsync(ResourceKind.Listeners);
        Assert.Equal(believed ? Verdict.Meshed : Verdict.NotMeshed, (await AskAsync(server, said)).Verdict);
        var words = $"a node's address is not believed node=sidecar~{said}~web-1~default identity={TestCaller.Id("default/web")}";
        Assert.Equal(!believed, server.Output.ToString().Contains(words, StringComparison.Ordinal));
        if (!believed) Assert.Contains($"make its join token with --address", server.Output.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_grant_that_comes_later_counts_and_who_is_gone_stays_gone()
    {
        var time = new ManualTimeProvider();
        await using var server = await AdsTestServer.StartAsync(Task.CompletedTask, time);
        await using (var node = new AdsClient(server.Channel, node: Node(Capture, "10.0.0.9"), identity: "default/web"))
        {
            await node.AskAsync(ResourceKind.Listeners);
            await node.ReadAsync(ResourceKind.Listeners);
            Assert.Equal(Verdict.NotMeshed, (await AskAsync(server, "10.0.0.9")).Verdict);
            server.Store.SetTrust(Trust.None with { Grants = [new Grant(TestCaller.Id("default/web"), [new ServiceName("default", "web")], ["10.0.0.9"])] });
            await Eventually.TrueAsync(() => server.Captured.Nodes(IPAddress.Parse("10.0.0.9")).Count == 1);
            Assert.Equal(Verdict.Meshed, (await AskAsync(server, "10.0.0.9")).Verdict);
        }

        await Eventually.HoldsAsync(() => server.Nodes.Count == 0, "the stream has ended");
        time.Advance(AdsTestServer.Grace);
        server.Nodes.Reconsider();
        Assert.Equal(Verdict.NotMeshed, (await AskAsync(server, "10.0.0.9")).Verdict);
    }

    [Fact]
    public async Task Not_every_node_gets_a_listener_of_its_own_size_of_the_mesh()
    {
        await using var server = await AdsTestServer.StartAsync();
        var nodes = new List<AdsClient>();
        for (var i = 0; i <= ConnectedNodes.MostOutbounds; i++)
        {
            var node = new AdsClient(server.Channel, node: Node(Capture.Replace("15001", $"{16000 + i}", StringComparison.Ordinal), $"127.0.1.{i}"), identity: "default/web");
            nodes.Add(node);
            await node.AskAsync(ResourceKind.Listeners);
            if (i < ConnectedNodes.MostOutbounds) await node.ReadAsync(ResourceKind.Listeners);
        }

        Assert.Contains("captured traffic is taken at 128 different addresses", (await nodes[^1].EndAsync()).Message, StringComparison.Ordinal);
        // One of those that are there is no further one; and there is room again when one goes.
        await using var same = new AdsClient(server.Channel, node: Node(Capture.Replace("15001", "16000", StringComparison.Ordinal), "127.0.2.1"), identity: "default/web");
        await same.AskAsync(ResourceKind.Listeners);
        await same.ReadAsync(ResourceKind.Listeners);
        await nodes[5].DisposeAsync();
        nodes.RemoveAt(5);
        await Eventually.TrueAsync(() => server.Nodes.Count == ConnectedNodes.MostOutbounds);
        await using var another = new AdsClient(server.Channel, node: Node(Capture.Replace("15001", "17000", StringComparison.Ordinal), "127.0.2.2"), identity: "default/web");
        await another.AskAsync(ResourceKind.Listeners);
        await another.ReadAsync(ResourceKind.Listeners);
        foreach (var node in nodes) await node.DisposeAsync();
    }

    [Fact]
    public void Many_at_one_address_cost_no_memory_without_bound_and_none_that_proves_something_else_is_forgotten()
    {
        var captured = new CapturedNodes(TimeSpan.FromSeconds(10), new ManualTimeProvider());
        var address = IPAddress.Parse("10.0.0.1");
        CapturedNode Of(int workload, string identity) => new(address, identity, $"w-{workload}", new WorkloadTraits("default", "web", System.Collections.Immutable.ImmutableSortedDictionary<string, string>.Empty));
        for (var i = 0; i < 5000; i++) captured.Add(new object(), Of(i, "one"));
        captured.Add(new object(), Of(5000, "two"));
        Assert.InRange(captured.Nodes(address).Count, CapturedNodes.MostAtAddress, CapturedNodes.MostAtAddress + 1);
        Assert.Equal(["one", "two"], captured.Nodes(address).Select(node => node.Identity).Distinct());
    }

    private static Task<DestinationAnswer> AskAsync(AdsTestServer server, string address = "127.0.0.9") => server.Channel.UnaryAsync(
        DestinationMethods.Lookup, new DestinationQuery { Address = ByteString.CopyFrom(IPAddress.Parse(address).GetAddressBytes()), Port = 5432 }, TestCaller.As("default/caller"), default);

    private static Node Node(string metadata, string address = "127.0.0.9") => new()
    {
        Id = $"sidecar~{address}~web-1~default",
        Cluster = "web",
        UserAgentName = "mesh-sidecar",
        Metadata = new Struct { Fields = { ["mesh"] = Value.ForStruct(Google.Protobuf.JsonParser.Default.Parse<Struct>(metadata)) } },
    };
}
