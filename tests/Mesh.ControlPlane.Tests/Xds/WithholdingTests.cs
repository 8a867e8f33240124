using System.Collections.Concurrent;
using Envoy.Config.Core.V3;
using Envoy.Config.Endpoint.V3;
using Envoy.Config.Listener.V3;
using Envoy.Config.Route.V3;
using Envoy.Service.Discovery.V3;
using Google.Protobuf.WellKnownTypes;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Sources.Consul;
using Mesh.ControlPlane.Tests.Model;
using Mesh.ControlPlane.Tests.Sources.Consul;
using Mesh.ControlPlane.Xds;
using Mesh.Tests;

namespace Mesh.ControlPlane.Tests.Xds;

/// <summary>
/// No node is told that a service is empty or does not exist while the registry has not been read for it: from a registry that answers late
/// to the node, over real connections.
/// </summary>
public sealed class WithholdingTests : IAsyncLifetime
{
    private static readonly ConsulSourceOptions Options = RunningSource.Fast with
    {
        WarmTime = TimeSpan.FromMilliseconds(50),
        Linger = TimeSpan.FromMilliseconds(100),
        // What comes late here comes; on a busy machine later still.
        SyncPatience = TimeSpan.FromMinutes(1),
    };

    private FakeConsul consul = null!;
    private AdsTestServer server = null!;
    private RunningSource source = null!;

    public Task InitializeAsync() => StartAsync(Options);

    private async Task StartAsync(ConsulSourceOptions options)
    {
        consul = await FakeConsul.StartAsync();
        consul.Set("web", FakeConsul.Foreign("web-1", 8080));
        var synced = new TaskCompletionSource();
        server = await AdsTestServer.StartAsync(synced.Task);
        source = new RunningSource(consul.Address, options, store: server.Store);
        await source.Source.Synced.WaitAsync(TimeSpan.FromSeconds(20));
        synced.SetResult();
        // The start, when all is followed, is over.
        await NobodyNeedsAsync("web");
    }

    public async Task DisposeAsync()
    {
        await source.DisposeAsync();
        await server.DisposeAsync();
        await consul.DisposeAsync();
    }

    [Fact]
    public async Task A_sidecar_that_comes_back_late_never_sees_an_empty_service()
    {
        consul.Next("/v1/health/service/web", 1, Late);

        await using var client = new AdsClient(server.Channel);
        var seen = new ConcurrentQueue<int>();
        var following = client.FollowAsync(response =>
        {
            if (response.TypeUrl != ResourceKind.Endpoints.TypeUrl) return;
            foreach (var assignment in response.Resources.Select(r => r.Unpack<ClusterLoadAssignment>())) seen.Enqueue(assignment.Endpoints.Sum(e => e.LbEndpoints.Count));
        });
        await Eventually.TrueAsync(() => !seen.IsEmpty);
        Assert.Equal([1], seen);
        Assert.False(following.IsCompleted);
    }

    [Fact]
    public async Task A_grpc_client_is_not_told_that_there_is_no_such_service()
    {
        consul.Next("/v1/health/service/web", 1, Late);
        await using var client = new AdsClient(server.Channel, node: new Node { Id = "g", UserAgentName = "gRPC C-core linux" });
        await client.AskAsync(ResourceKind.Listeners, "web");
        var first = await client.ReadAsync(ResourceKind.Listeners);
        Assert.Equal(["web"], first.Resources.Select(r => r.Unpack<Listener>().Name));
        await client.AckAsync(first, "web");

        // The same for a name that it asks for later.
        consul.Set("db", FakeConsul.Foreign("db-1", 5432));
        await NobodyNeedsAsync("db");
        consul.Next("/v1/health/service/db", 1, Late);
        await client.AskAsync(ResourceKind.Listeners, "web", "db");
        Assert.Equal(["db", "web"], (await client.ReadAsync(ResourceKind.Listeners)).Resources.Select(r => r.Unpack<Listener>().Name));
    }

    [Theory, InlineData("declared"), InlineData("grpc")]
    public async Task A_route_to_a_service_nobody_needed_yet_goes_out_when_that_is_known(string kind)
    {
        consul.Set("web-v2", FakeConsul.Foreign("web-v2-1", 8081));
        await NobodyNeedsAsync("web-v2");
        await using var client = new AdsClient(server.Channel, node: NodeOf(kind));
        var routes = await FirstRouteAsync(client, kind);

        consul.Next("/v1/health/service/web-v2", 2, Late);
        server.Store.SetRules("files", new RuleSet { HttpRoutes = [Route("web-v2")] });
        await client.AckAsync(routes, RouteName(kind));
        Assert.Contains("web-v2", await NextRouteAsync(client, kind), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_service_that_cannot_be_read_holds_a_route_up_for_a_while_only()
    {
        await DisposeAsync();
        var patience = TimeSpan.FromSeconds(1);
        await StartAsync(Options with { SyncPatience = patience });
        consul.Set("web-v3", FakeConsul.Foreign("web-v3-1", 8081));
        await NobodyNeedsAsync("web-v3");
        await using var client = new AdsClient(server.Channel, node: NodeOf("declared"));
        var routes = await FirstRouteAsync(client, "declared");
        consul.Next("/v1/health/service/web-v3", 10_000, FakeConsul.Status(500, "no leader"));
        var clock = System.Diagnostics.Stopwatch.StartNew();
        server.Store.SetRules("files", new RuleSet { HttpRoutes = [Route("web-v3")] });
        await client.AckAsync(routes, RouteName("declared"));
        var text = await NextRouteAsync(client, "declared");
        Assert.True(text.Contains("mesh-invalid-backend", StringComparison.Ordinal), text);
        // Nobody followed it before the rule was there, and from then on it is awaited so long; a little less by clocks that are not the same.
        Assert.True(clock.Elapsed > patience - TimeSpan.FromMilliseconds(100), $"after {clock.Elapsed}");
    }

    private static async Task Late(Microsoft.AspNetCore.Http.HttpContext http)
    {
        await Task.Delay(300);
        await FakeConsul.Status(500, "later")(http);
    }

    // In the catalog, and not followed: neither the start's warm time nor anybody's linger keeps it.
    private Task NobodyNeedsAsync(string service) =>
        Eventually.TrueAsync(() => server.Feed.Current is { } config && config.Compiled.World.Unread.Names.Contains(service));

    private static string RouteName(string kind) => kind == "grpc" ? "outbound|8080||web.default.svc.cluster.local" : "upstream|8080||web.default.svc.cluster.local";

    private static Node NodeOf(string kind)
    {
        if (kind == "grpc") return new Node { Id = "g", UserAgentName = "gRPC C-core linux" };
        var node = AdsClient.SidecarNode("sidecar~127.0.0.1~shop-1~default");
        node.Metadata.Fields["mesh"] = Value.Parser.ParseJson("""
            {"outbound": "127.0.0.1:15001", "discover": "declared", "upstreams": [{"service": "web", "listen": "127.0.0.1:9191"}]}
            """);
        return node;
    }

    private static async Task<DiscoveryResponse> FirstRouteAsync(AdsClient client, string kind)
    {
        if (kind == "grpc")
        {
            await client.AskAsync(ResourceKind.Listeners, "web");
            await client.AckAsync(await client.ReadAsync(ResourceKind.Listeners), "web");
        }

        await client.AskAsync(ResourceKind.Routes, RouteName(kind));
        var routes = await client.ReadAsync(ResourceKind.Routes);
        Assert.DoesNotContain("web-v", Text(routes), StringComparison.Ordinal);
        Assert.DoesNotContain("mesh-invalid-backend", Text(routes), StringComparison.Ordinal);
        return routes;
    }

    private static async Task<string> NextRouteAsync(AdsClient client, string kind)
    {
        while (true)
        {
            var response = await client.ReadAsync();
            if (response.TypeUrl == ResourceKind.Routes.TypeUrl) return Text(response);
            await client.AckAsync(response, kind == "grpc" ? ["web"] : []);
        }
    }

    private static string Text(DiscoveryResponse routes) => string.Join('\n', routes.Resources.Select(r => r.Unpack<RouteConfiguration>().ToString()));

    private static HttpRoute Route(string backend) => Given.Route("web", "web", Given.Rule(HttpRouteMatch.Everything, Given.Backend(backend, 8081)));
}
