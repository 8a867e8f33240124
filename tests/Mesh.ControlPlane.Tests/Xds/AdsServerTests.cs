using System.Collections.Concurrent;
using Envoy.Config.Cluster.V3;
using Envoy.Config.Core.V3;
using Envoy.Config.Endpoint.V3;
using Envoy.Service.Discovery.V3;
using Google.Protobuf.WellKnownTypes;
using Mesh.Api.Grpc;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Xds;
using Mesh.Tests;

namespace Mesh.ControlPlane.Tests.Xds;

/// <summary>The ADS server over a real Kestrel port, with clients on the project's gRPC layer.</summary>
public sealed class AdsServerTests
{
    private const string Web = "outbound|8080||web.default.svc.cluster.local";

    [Fact]
    public async Task A_sidecar_gets_its_configuration_and_then_what_changes()
    {
        await using var server = await AdsTestServer.StartAsync("web-1 web 10.0.0.1:8080");
        await using var client = new AdsClient(server.Channel);

        await client.AskAsync(ResourceKind.Clusters);
        var clusters = await client.ReadAsync(ResourceKind.Clusters);
        Assert.Contains(clusters.Resources, r => r.Unpack<Cluster>().Name == Web);
        await client.AckAsync(clusters);
        await client.AskAsync(ResourceKind.Endpoints, Web);
        var endpoints = await client.ReadAsync(ResourceKind.Endpoints);
        Assert.Equal(["10.0.0.1"], AddressesOf(endpoints));
        await client.AckAsync(endpoints, Web);

        server.SetInstances("web-1 web 10.0.0.1:8080", "web-2 web 10.0.0.2:8080");
        var more = await client.ReadAsync(ResourceKind.Endpoints);
        Assert.Equal(["10.0.0.1", "10.0.0.2"], AddressesOf(more));
        Assert.NotEqual(endpoints.VersionInfo, more.VersionInfo);
    }

    [Fact]
    public async Task Nodes_that_connect_before_the_first_world_is_complete_wait_for_it()
    {
        var ready = new TaskCompletionSource();
        await using var server = await AdsTestServer.StartAsync(ready.Task);
        await using var client = new AdsClient(server.Channel);
        await client.AskAsync(ResourceKind.Clusters);
        server.SetInstances("web-1 web 10.0.0.1:8080");
        var response = client.ReadAsync(ResourceKind.Clusters);
        await Eventually.TrueAsync(() => server.Nodes.Count == 1);
        Assert.False(response.IsCompleted);
        ready.SetResult();
        Assert.Contains((await response).Resources, r => r.Unpack<Cluster>().Name == Web);
    }

    [Fact]
    public async Task A_refusal_keeps_the_stream_and_shows_to_operators()
    {
        await using var server = await AdsTestServer.StartAsync("web-1 web 10.0.0.1:8080");
        await using var client = new AdsClient(server.Channel);
        await client.AskAsync(ResourceKind.Clusters);
        var refused = await client.ReadAsync(ResourceKind.Clusters);
        await client.NackAsync(refused, "I cannot do that");
        await Eventually.TrueAsync(() => server.Nodes.List()[0].Subscriptions[0].Nacked.Length > 0);
        var status = server.Nodes.List()[0].Subscriptions[0];
        Assert.Equal(("CDS", refused.VersionInfo, "I cannot do that", ""), (status.Type, status.Nacked, status.Error, status.Acked));

        server.SetInstances("web-1 web 10.0.0.1:8080", "db-1 db 10.0.0.9:5432");
        var next = await client.ReadAsync(ResourceKind.Clusters);
        await client.AckAsync(next);
        await Eventually.TrueAsync(() => server.Nodes.List()[0].Subscriptions[0] is { Nacked: "", Error: "" } s && s.Acked == next.VersionInfo);
    }

    [Fact]
    public async Task A_client_that_comes_back_gets_everything_again_under_the_same_version()
    {
        await using var server = await AdsTestServer.StartAsync("web-1 web 10.0.0.1:8080");
        string version, nonce;
        await using (var before = new AdsClient(server.Channel))
        {
            await before.AskAsync(ResourceKind.Clusters);
            var response = await before.ReadAsync(ResourceKind.Clusters);
            (version, nonce) = (response.VersionInfo, response.Nonce);
            await before.AckAsync(response);
        }

        await using var after = new AdsClient(server.Channel);
        await after.SendAsync(new DiscoveryRequest { TypeUrl = ResourceKind.Clusters.TypeUrl, VersionInfo = version, ResponseNonce = nonce });
        var again = await after.ReadAsync(ResourceKind.Clusters);
        Assert.Equal(version, again.VersionInfo);
        Assert.NotEmpty(again.Resources);
        await Eventually.TrueAsync(() => server.Nodes.Count == 1);
    }

    [Fact]
    public async Task A_hundred_sidecars_see_a_change()
    {
        await using var server = await AdsTestServer.StartAsync("web-1 web 10.0.0.1:8080");
        var seen = new ConcurrentDictionary<int, string>();
        var clients = Enumerable.Range(0, 100).Select(i => new AdsClient(server.Channel, $"sidecar~127.0.0.1~w-{i}~default")).ToList();
        var following = clients.Select((client, i) => client.FollowAsync(response =>
        {
            if (response.TypeUrl == ResourceKind.Endpoints.TypeUrl) seen[i] = string.Join(',', AddressesOf(response));
        })).ToList();
        await Eventually.TrueAsync(() => seen.Count(s => s.Value == "10.0.0.1") == 100);
        server.SetInstances("web-1 web 10.0.0.7:8080");
        await Eventually.TrueAsync(() => seen.Count(s => s.Value == "10.0.0.7") == 100);
        Assert.Equal(100, server.Nodes.Count);
        foreach (var client in clients) await client.DisposeAsync();
        await Task.WhenAll(following.Select(f => f.ContinueWith(_ => { }, TaskScheduler.Default)));
        await Eventually.TrueAsync(() => server.Nodes.Count == 0);
    }

    [Fact]
    public async Task The_nodes_say_which_services_anybody_needs()
    {
        await using var server = await AdsTestServer.StartAsync("web-1 web 10.0.0.1:8080");
        var grpc = new Node { Id = "g", UserAgentName = "gRPC C-core linux" };
        await using (var client = new AdsClient(server.Channel, node: grpc))
        {
            await client.AskAsync(ResourceKind.Listeners, "web.shop:8080", "db");
            await Eventually.TrueAsync(() => server.Store.Interest is { All: false, Services.Count: 2 });
            Assert.Contains(new ServiceName("shop", "web"), (IEnumerable<ServiceName>)server.Store.Interest.Services);
            await using var sidecar = new AdsClient(server.Channel);
            await sidecar.AskAsync(ResourceKind.Clusters);
            await Eventually.TrueAsync(() => server.Store.Interest.All);
        }

        await Eventually.TrueAsync(() => server.Store.Interest is { All: false, Services.Count: 0 });
    }

    [Fact]
    public async Task A_stop_ends_streams_with_unavailable()
    {
        await using var server = await AdsTestServer.StartAsync();
        await using var client = new AdsClient(server.Channel);
        await client.AskAsync(ResourceKind.Clusters);
        await client.ReadAsync(ResourceKind.Clusters);
        server.Ads.Stop();
        Assert.Equal(new GrpcStatus(GrpcStatusCode.Unavailable, "the control plane is stopping"), await client.EndAsync());
    }

    [Theory]
    [InlineData("no node", "first request of a stream must carry node")]
    [InlineData("no id", "node.id is empty")]
    [InlineData("bad metadata", "node.metadata.mesh")]
    public async Task A_bad_introduction_is_refused_in_words(string what, string words)
    {
        await using var server = await AdsTestServer.StartAsync();
        var node = what switch
        {
            "no node" => null,
            "no id" => new Node(),
            _ => new Node { Id = "x", Metadata = new Struct { Fields = { ["mesh"] = Value.ForString("nonsense") } } },
        };
        await using var client = new AdsClient(server.Channel);
        await client.SendBareAsync(new DiscoveryRequest { TypeUrl = ResourceKind.Clusters.TypeUrl, Node = node });
        var status = await client.EndAsync();
        Assert.Equal(GrpcStatusCode.InvalidArgument, status.Code);
        Assert.Contains(words, status.Message);
    }

    [Fact]
    public async Task A_flood_of_requests_ends_the_stream()
    {
        await using var server = await AdsTestServer.StartAsync();
        await using var client = new AdsClient(server.Channel);
        try
        {
            for (var i = 0; i < 2 * RequestBudget.Burst; i++) await client.AskAsync(ResourceKind.Endpoints, $"name-{i}");
        }
        catch (GrpcException)
        {
            // The end is read below.
        }

        Assert.Equal(GrpcStatusCode.ResourceExhausted, (await client.EndAsync()).Code);
    }

    [Fact]
    public async Task A_client_that_does_not_read_is_dropped()
    {
        var time = new ManualTimeProvider();
        var many = Enumerable.Range(0, 2000).Select(i => $"i{i} service-{i} 10.0.0.1:8080").ToArray();
        await using var server = await AdsTestServer.StartAsync(Task.CompletedTask, time, many);
        await using var client = new AdsClient(server.Channel);
        await client.AskAsync(ResourceKind.Clusters);
        // The response is larger than what the connection buffers, so the server waits for the client to read.
        await Eventually.TrueAsync(() => server.Nodes.List() is [{ Subscriptions: [{ Resources: > 2000 }] }]);
        var start = time.GetUtcNow();
        await Eventually.TrueAsync(() =>
        {
            time.Advance(TimeSpan.FromSeconds(1));
            return server.Nodes.Count == 0;
        });
        Assert.True(time.GetUtcNow() - start >= AdsStream.StuckAfter);
    }

    [Fact]
    public async Task Delta_is_refused_in_words()
    {
        await using var server = await AdsTestServer.StartAsync();
        var method = new GrpcMethod<DeltaDiscoveryRequest, DeltaDiscoveryResponse>(
            "envoy.service.discovery.v3.AggregatedDiscoveryService", "DeltaAggregatedResources", DeltaDiscoveryRequest.Parser, DeltaDiscoveryResponse.Parser);
        await using var call = server.Channel.Open(method, default, CancellationToken.None);
        var e = await Assert.ThrowsAsync<GrpcException>(async () => await call.ReadAsync(CancellationToken.None));
        Assert.Equal(GrpcStatusCode.Unimplemented, e.Code);
    }

    private static string[] AddressesOf(DiscoveryResponse response) =>
    [
        .. response.Resources.SelectMany(r => r.Unpack<ClusterLoadAssignment>().Endpoints).SelectMany(l => l.LbEndpoints)
            .Select(e => e.Endpoint.Address.SocketAddress.Address).Order(StringComparer.Ordinal),
    ];
}
