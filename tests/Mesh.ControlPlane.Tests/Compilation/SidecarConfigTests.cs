using Envoy.Config.Cluster.V3;
using Envoy.Config.Listener.V3;
using Envoy.Config.Route.V3;
using Mesh.Api.Xds;
using Mesh.ControlPlane.Compilation;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Tests.Model;

namespace Mesh.ControlPlane.Tests.Compilation;

/// <summary>What a sidecar gets follows from what it says it needs.</summary>
public sealed class SidecarConfigTests
{
    private static readonly NodeUpstream Db = new("db", null, new HostPort("127.0.0.1", 9191), null);
    private static readonly World World = Given.World(
        [Given.Workload("web-1", "web", "8080:http"), Given.Workload("web2-1", "web-v2", "8080:http"), Given.Workload("db-1", "db", "5432:tcp"), Given.Workload("x-1", "unrelated", "80:http")],
        new RuleSet { HttpRoutes = [Given.Route("r", "web", Given.Rule(HttpRouteMatch.Everything, Given.Backend("web", 8080, 9), Given.Backend("web-v2", 8080)))] });

    [Fact]
    public void Declared_upstreams_bring_their_services_and_the_backends_of_their_routes_and_nothing_else()
    {
        var config = World.For(Compiled.Node() with { DiscoverAll = false, Upstreams = [Db, new NodeUpstream("web", null, new HostPort("127.0.0.1", 9192), null)] });
        string[] services = ["outbound|5432||db.default.svc.cluster.local", "outbound|8080||web-v2.default.svc.cluster.local", "outbound|8080||web.default.svc.cluster.local"];
        Assert.Equal(["PassthroughCluster", .. services], config.Clusters.Names());
        Assert.Equal(services, config.Endpoints.Names());
        Assert.Equal(["outbound", "upstream|8080||web.default.svc.cluster.local"], config.Routes.Names());
        Assert.Equal(
            ["allow_any", "web.default.svc.cluster.local:8080"],
            config.Routes.Get<RouteConfiguration>("outbound").VirtualHosts.Select(host => host.Name).Order(StringComparer.Ordinal));
    }

    [Fact]
    public void Without_outbound_listener_nothing_outbound_is_sent()
    {
        var config = World.For(Compiled.Node() with { Outbound = null, Ports = [new NodePort(80, "", AppProtocol.Http, new HostPort("127.0.0.1", 41000))] });
        Assert.Equal(["inbound|80||"], config.Clusters.Names());
        Assert.Equal(["inbound|80"], config.Listeners.Names());
        Assert.Empty(config.Endpoints.Items);
        Assert.Empty(config.Routes.Items);
    }

    [Theory]
    [InlineData("db", null, null, "tcp", "outbound|5432||db.default.svc.cluster.local")]
    [InlineData("db.default", 5432, null, "tcp", "outbound|5432||db.default.svc.cluster.local")]
    [InlineData("web", null, null, "http", "upstream|8080||web.default.svc.cluster.local")]
    [InlineData("web", 9999, null, "http", "upstream|8080||web.default.svc.cluster.local")]
    [InlineData("web", null, AppProtocol.Tcp, "tcp", "outbound|8080||web.default.svc.cluster.local")]
    [InlineData("db", null, AppProtocol.Http, "http", "upstream|5432||db.default.svc.cluster.local")]
    [InlineData("gone", null, null, "http tcp", "upstream|0||gone.default.svc.cluster.local")]
    [InlineData("gone", 81, AppProtocol.Tcp, "tcp", "outbound|81||gone.default.svc.cluster.local")]
    public void Upstream_listener(string service, int? port, AppProtocol? protocol, string chains, string target)
    {
        var upstream = new NodeUpstream(service, port, new HostPort("127.0.0.1", 9191), protocol);
        var config = World.For(Compiled.Node() with { Upstreams = [upstream] });
        var listener = config.Listeners.Get<Listener>($"upstream|{service}|127.0.0.1:9191");
        var all = listener.FilterChains.Append(listener.DefaultFilterChain).Where(chain => chain is not null).ToArray();
        Assert.Equal(chains, string.Join(' ', all.Select(chain => chain.Name)));
        Assert.Contains(target, XdsJson.Format(all[0]), StringComparison.Ordinal);
        if (all[0].Name == "http") Assert.True(config.Routes.TryGet(target, out _));
    }

    [Theory]
    [InlineData("gone", null, "upstream gone: there is no service default/gone")]
    [InlineData("multi", 83, "upstream multi: default/multi has no port 83")]
    [InlineData("mute", null, "upstream mute: default/mute serves no port")]
    public void An_upstream_that_leads_nowhere_is_said(string service, int? port, string notice)
    {
        var world = Given.World([Given.Workload("m", "multi", "81:http:a", "82:http:b"), Given.Workload("n", "mute")]);
        var config = world.For(Compiled.Node() with { Upstreams = [new NodeUpstream(service, port, new HostPort("127.0.0.1", 9191), null)] });
        Assert.Equal(notice, Assert.Single(config.Notices).Text);
    }

    [Theory]
    [InlineData(AppProtocol.Http, "use_downstream")]
    [InlineData(AppProtocol.Unknown, "use_downstream")]
    [InlineData(AppProtocol.Http2, "h2")]
    [InlineData(AppProtocol.Grpc, "h2")]
    [InlineData(AppProtocol.Tcp, "none")]
    public void Protocol_towards_the_endpoints(AppProtocol protocol, string expected)
    {
        var world = Given.World([Given.Workload("a-1", "a", "80:" + protocol)]);
        foreach (var name in new[] { "outbound|80||a.default.svc.cluster.local", "inbound|80||" })
        {
            var cluster = world.For(Compiled.Node() with { Ports = [new NodePort(80, "", protocol, new HostPort("127.0.0.1", 41000))] }).Clusters.Get<Cluster>(name);
            var options = cluster.TypedExtensionProtocolOptions.TryGetValue(TypeUrls.HttpProtocolOptionsKey, out var any)
                ? any.Unpack<Envoy.Extensions.Upstreams.Http.V3.HttpProtocolOptions>() : null;
            Assert.Equal(expected, options is null ? "none" : options.UseDownstreamProtocolConfig is not null ? "use_downstream" : options.ExplicitHttpConfig.Http2ProtocolOptions is not null ? "h2" : "?");
        }
    }

    [Fact]
    public void A_consumer_route_takes_over_for_clients_of_its_namespace_only()
    {
        var world = Given.World(
            [Given.Workload("a", "web", "80:http"), Given.Workload("b", "web-v2", "80:http")],
            new RuleSet
            {
                HttpRoutes =
                [
                    Given.Route("producer", "web", Given.Rule(HttpRouteMatch.Everything, Given.Backend("web", 80))),
                    Given.Route("shop/consumer", "web", Given.Rule(HttpRouteMatch.Everything, Given.Backend("web-v2", 80))),
                ],
            });
        Assert.Equal("outbound|80||web.default.svc.cluster.local", world.For(Compiled.Node()).Host("web.default").Routes.Single().Route_.Cluster);
        Assert.Equal("outbound|80||web.default.svc.cluster.local", world.For(Compiled.Node(ns: "other")).Host("web.default").Routes.Single().Route_.Cluster);
        Assert.Equal("outbound|80||web-v2.default.svc.cluster.local", world.For(Compiled.Node(ns: "shop")).Host("web.default").Routes.Single().Route_.Cluster);
    }

    [Fact]
    public void A_route_for_one_port_leaves_the_others_alone()
    {
        var route = Given.Route("r", "web", Given.Rule(HttpRouteMatch.Everything)) with { Parents = [new ParentRef(Given.Name("web"), 81)] };
        var world = Given.World([], new RuleSet { Services = [Given.Service("web", new ServicePort(80, "a", AppProtocol.Http), new ServicePort(81, "b", AppProtocol.Http))], HttpRoutes = [route] });
        var config = world.For(Compiled.Node());
        Assert.Equal("outbound|80||web.default.svc.cluster.local", config.Host("web:80").Routes.Single().Route_.Cluster);
        Assert.Equal("mesh-invalid-backend", config.Host("web:81").Routes.Single().Route_.Cluster);
    }

    [Theory]
    // Weights (x = invalid backend) -> cluster or clusters, and whether the missing one is answered with 500.
    [InlineData("", "mesh-invalid-backend", true)]
    [InlineData("1", "a", false)]
    [InlineData("0", "mesh-invalid-backend", true)]
    [InlineData("0 0", "mesh-invalid-backend", true)]
    [InlineData("1 0", "a=1 b=0", false)]
    [InlineData("90 10", "a=90 b=10", false)]
    [InlineData("x1", "mesh-invalid-backend", true)]
    [InlineData("3 x1", "a=3 mesh-invalid-backend=1", true)]
    public void Split(string weights, string expected, bool answers500)
    {
        var backends = weights.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select((weight, index) => weight[0] == 'x'
            ? Given.Backend("nowhere", 80, int.Parse(weight[1..]))
            : Given.Backend(index == 0 ? "a" : "b", 80, int.Parse(weight)));
        var world = Given.World(
            [Given.Workload("a", "a", "80:http"), Given.Workload("b", "b", "80:http")],
            new RuleSet { HttpRoutes = [Given.Route("r", "a", Given.Rule(HttpRouteMatch.Everything, [.. backends]))] });
        var action = world.For(Compiled.Node()).Host("a").Routes.Single().Route_;
        var actual = action.WeightedClusters is { } split ? string.Join(' ', split.Clusters.Select(cluster => $"{cluster.Name}={cluster.Weight}")) : action.Cluster;
        Assert.Equal(expected, actual.Replace("outbound|80||", "", StringComparison.Ordinal).Replace(".default.svc.cluster.local", "", StringComparison.Ordinal));
        Assert.Equal(answers500, action.ClusterNotFoundResponseCode == RouteAction.Types.ClusterNotFoundResponseCode.InternalServerError);
    }

    [Fact]
    public void The_same_world_compiles_to_the_same_bytes()
    {
        var one = ShopWorld.World.For(ShopWorld.Node);
        var two = ShopWorld.World.For(ShopWorld.Node with { });
        foreach (var type in new[] { TypeUrls.Listener, TypeUrls.Cluster, TypeUrls.ClusterLoadAssignment, TypeUrls.RouteConfiguration })
        {
            Assert.Equal(one.Of(type).Items.Select(item => item.Body.Value), two.Of(type).Items.Select(item => item.Body.Value));
            Assert.Equal(one.Of(type).Version, two.Of(type).Version);
            Assert.All(one.Of(type).Items, item => Assert.Equal(ResourceVersion.Of(item.Body.Value), item.Version));
        }
    }

    [Fact]
    public void Maps_are_in_the_order_that_deterministic_packing_gives()
    {
        foreach (var item in ShopWorld.World.For(ShopWorld.Node).Clusters.Items)
            Assert.Equal(Packing.Pack(item.Body.Unpack<Cluster>()).Value, item.Body.Value);
        foreach (var item in ShopWorld.World.For(ShopWorld.Node).Routes.Items)
            Assert.Equal(Packing.Pack(item.Body.Unpack<RouteConfiguration>()).Value, item.Body.Value);
    }

    [Fact]
    public void Every_cluster_a_route_names_is_sent_before_it_or_never_defined()
    {
        var config = ShopWorld.World.For(ShopWorld.Node);
        var named = config.Routes.Items.SelectMany(item => item.Body.Unpack<RouteConfiguration>().VirtualHosts).SelectMany(host => host.Routes)
            .SelectMany(route => route.Route_.WeightedClusters?.Clusters.Select(cluster => cluster.Name) ?? [route.Route_.Cluster]).ToHashSet();
        named.ExceptWith(config.Clusters.Names());
        Assert.Equal(["mesh-invalid-backend", "outbound|1234||missing.default.svc.cluster.local"], named.Order(StringComparer.Ordinal));
    }

    [Theory]
    [InlineData(true, "all", "")]
    [InlineData(false, "", "default/db default/web default/web-v2")]
    public void Needs(bool discoverAll, string all, string services)
    {
        var compiled = CompiledWorld.From(World, null);
        var needs = compiled.Needs(Compiled.Node() with { DiscoverAll = discoverAll, Upstreams = [Db, Db with { Service = "web" }] }, []);
        Assert.Equal((all, services), (needs.All ? "all" : "", string.Join(' ', needs.Services.Order())));
    }

    [Fact]
    public void A_gRPC_client_needs_what_it_asks_for() => Assert.Equal(
        [new ServiceName("default", "web"), new ServiceName("default", "web-v2"), new ServiceName("shop", "web")],
        CompiledWorld.From(World, null).Needs(Compiled.GrpcNode("shop"), ["web:8080"]).Services.Order());
}
