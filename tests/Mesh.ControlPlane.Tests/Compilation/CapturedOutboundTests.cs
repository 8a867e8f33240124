using System.Collections.Frozen;
using System.Collections.Immutable;
using Envoy.Config.Cluster.V3;
using Envoy.Config.Listener.V3;
using Envoy.Config.Route.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Envoy.Extensions.Filters.Network.TcpProxy.V3;
using Mesh.ControlPlane.Compilation;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Tests.Model;

namespace Mesh.ControlPlane.Tests.Compilation;

/// <summary>The two listeners that take everything a captured application sends.</summary>
public sealed class CapturedOutboundTests
{
    internal static NodeDescription Node { get; } = Compiled.Node() with
    {
        UserAgent = "mesh-sidecar 1",
        Capture = new NodeCapture(false, [new HostPort("127.0.0.1", 15001), new HostPort("::1", 15001)], [], false),
    };

    private static readonly ImmutableArray<ServiceDocument> Documents =
    [
        Given.Service("cart", new ServicePort(80, "http", AppProtocol.Http), new ServicePort(81, "raw", AppProtocol.Tcp), new ServicePort(82, "", AppProtocol.Unknown)) with { ClusterIPs = ["10.96.0.7", "fd00::7"] },
        Given.Service("pods", new ServicePort(80, "http", AppProtocol.Http)) with { Headless = true },
    ];

    private static readonly World World = Given.World(
        [Given.Workload("db-1", "db", "5432:tcp"), Given.Workload("web-1", "web", "8080:http"), Given.Workload("odd-1", "odd", "7000:unknown")], new RuleSet { Services = Documents })
        with
    { Virtual = Addresses(("db", ["240.0.0.1"]), ("web", ["240.0.0.2", "fd6d::2"]), ("pods", ["240.0.0.9"]), ("cart", ["240.0.0.8"]), ("gone", ["240.0.0.7"])) };

    [Fact]
    public void Chains_know_services_by_address_and_port()
    {
        var config = World.For(Node);
        Assert.Equal(
            [
                "explicit 127.0.0.1/32 15001 -> rds outbound",
                "10.96.0.7|80|http 10.96.0.7/32 80 -> rds upstream|80||cart.default.svc.cluster.local",
                "10.96.0.7|81|tcp 10.96.0.7/32 81 -> outbound|81||cart.default.svc.cluster.local",
                "10.96.0.7|82|http 10.96.0.7/32 82 http/1.0,http/1.1,h2c -> rds upstream|82||cart.default.svc.cluster.local",
                "10.96.0.7|82|tcp 10.96.0.7/32 82 -> outbound|82||cart.default.svc.cluster.local",
                "240.0.0.1|5432|tcp 240.0.0.1/32 5432 -> outbound|5432||db.default.svc.cluster.local",
                "240.0.0.1|any|tcp 240.0.0.1/32 -> outbound|5432||db.default.svc.cluster.local",
                "240.0.0.2|8080|http 240.0.0.2/32 8080 -> rds upstream|8080||web.default.svc.cluster.local",
                "240.0.0.2|80|http 240.0.0.2/32 80 -> rds upstream|8080||web.default.svc.cluster.local",
                "240.0.0.2|any|http 240.0.0.2/32 -> rds upstream|8080||web.default.svc.cluster.local",
                "unknown -> PassthroughCluster",
            ],
            Describe(config.Listeners.Get<Listener>("outbound")));
        Assert.Equal(
            ["explicit ::1/128 15001", "fd00::7|80|http fd00::7/128 80", "fd6d::2|any|http fd6d::2/128"],
            Describe(config.Listeners.Get<Listener>("outbound6")).Select(text => text.Split(" -> ")[0]).Where(text => text.Contains("|80", StringComparison.Ordinal) ? text.StartsWith("fd00", StringComparison.Ordinal) && !text.Contains("|8080", StringComparison.Ordinal) : text.StartsWith("explicit", StringComparison.Ordinal) || text.Contains("any", StringComparison.Ordinal)));
        Assert.Equal(["outbound", "outbound6"], config.Listeners.Names());
        Assert.Equal(("127.0.0.1", 15001u), (config.Listeners.Get<Listener>("outbound").Address.SocketAddress.Address, config.Listeners.Get<Listener>("outbound").Address.SocketAddress.PortValue));
        Assert.Empty(config.Notices);
    }

    [Fact]
    public void Every_table_a_chain_names_is_there_and_takes_every_host()
    {
        var config = World.For(Node);
        var named = config.Listeners.Items.SelectMany(item => item.Body.Unpack<Listener>().FilterChains).Select(Rds).OfType<string>().Distinct().Order();
        Assert.Equal(named, config.Routes.Names().Order());
        Assert.Equal("*", config.Routes.Get<RouteConfiguration>("upstream|80||cart.default.svc.cluster.local").VirtualHosts.Single().Domains.Single());
    }

    [Fact]
    public void Destinations_that_nobody_knows_pass_or_are_refused()
    {
        var config = (World with { Network = NetworkTerms.Default with { RegistryOnly = true } }).For(Node);
        Assert.Equal("unknown -> BlackHoleCluster", Describe(config.Listeners.Get<Listener>("outbound"))[^1]);
        Assert.Equal("BlackHoleCluster", config.Routes.Get<RouteConfiguration>("outbound").VirtualHosts[^1].Routes[0].Route_.Cluster);
        Assert.Equal(Cluster.Types.DiscoveryType.Static, config.Clusters.Get<Cluster>("BlackHoleCluster").Type);
        Assert.DoesNotContain("PassthroughCluster", config.Clusters.Names());
        Assert.Contains("PassthroughCluster", World.For(Node).Clusters.Names());
    }

    [Fact]
    public void The_first_service_by_name_keeps_an_address_and_port()
    {
        var world = Given.World([], new RuleSet
        {
            Services =
            [
                Given.Service("b", new ServicePort(80, "", AppProtocol.Http), new ServicePort(81, "", AppProtocol.Tcp)) with { ClusterIPs = ["10.96.0.1"] },
                Given.Service("a", new ServicePort(80, "", AppProtocol.Tcp)) with { ClusterIPs = ["10.96.0.1"] },
            ],
        });
        var config = world.For(Node);
        Assert.Equal(["10.96.0.1|80|tcp", "10.96.0.1|81|tcp"], config.Listeners.Get<Listener>("outbound").FilterChains.Skip(1).Select(chain => chain.Name));
        Assert.Equal("default/b is not reached at 10.96.0.1 port 80: default/a has that address and port", config.Notices.Single(notice => notice.Text.Contains("reached", StringComparison.Ordinal)).Text);
    }

    [Fact]
    public void A_node_that_declares_gets_chains_of_what_it_declared()
    {
        var node = Node with { DiscoverAll = false, Upstreams = [new NodeUpstream("cart", null, new HostPort("127.0.0.1", 9000), null)] };
        var config = World.For(node);
        Assert.All(config.Listeners.Get<Listener>("outbound").FilterChains.Skip(1), chain => Assert.StartsWith("10.96.0.7", chain.Name, StringComparison.Ordinal));
        Assert.Equal(["outbound", "upstream|80||cart.default.svc.cluster.local", "upstream|82||cart.default.svc.cluster.local"], config.Routes.Names());
    }

    [Fact]
    public void Envoy_looks_only_where_chains_differ()
    {
        var documented = Given.World([], new RuleSet { Services = [Documents[0]] });
        var filters = documented.For(Node with { UserAgent = "envoy" }).Listeners.Get<Listener>("outbound").ListenerFilters;
        Assert.Equal(["envoy.filters.listener.original_dst", "envoy.filters.listener.http_inspector"], filters.Select(filter => filter.Name));
        Assert.Equal((82, 83), (filters[1].FilterDisabled.NotMatch.DestinationPortRange.Start, filters[1].FilterDisabled.NotMatch.DestinationPortRange.End));
        Assert.All(documented.For(Node).Listeners.Get<Listener>("outbound").ListenerFilters, filter => Assert.Null(filter.FilterDisabled));
        // A registry's service of unknown protocol answers on every port, so every port is looked at.
        var registered = World with { Virtual = Addresses(("odd", ["240.0.0.3"])) };
        Assert.Null(registered.For(Node with { UserAgent = "envoy" }).Listeners.Get<Listener>("outbound").ListenerFilters[^1].FilterDisabled);
    }

    [Fact]
    public void An_address_that_comes_and_goes_changes_listeners_and_nothing_else()
    {
        var before = CompiledWorld.From(World, null);
        var first = before.For(Node);
        var after = CompiledWorld.From(World with { Version = 2, Virtual = Addresses(("db", ["240.0.0.1"]), ("web", ["240.0.0.2"]), ("odd", ["240.0.0.3"])) }, before);
        var second = after.For(Node);
        Assert.NotSame(first.Listeners, second.Listeners);
        Assert.Same(first.Clusters, second.Clusters);
        Assert.Same(first.Endpoints, second.Endpoints);
        Assert.Contains("240.0.0.3|7000|tcp", second.Listeners.Get<Listener>("outbound").FilterChains.Select(chain => chain.Name));
        Assert.Same(second.Listeners, CompiledWorld.From(after.World with { Version = 3 }, after).For(Node).Listeners);
    }

    [Fact]
    public void An_undeclared_port_with_a_route_is_HTTP_or_nothing_for_those_whom_the_route_is_for()
    {
        var producer = World(Given.Route("to-cart", "cart", Given.Rule(new HttpRouteMatch(), Given.Backend("cart", 82))));
        Assert.Equal(["10.96.0.7|82|http 10.96.0.7/32 82 -> rds upstream|82||cart.default.svc.cluster.local"], Undeclared(producer.For(Node)));
        Assert.Single(Undeclared(producer.For(Node with { Namespace = "shop" })));
        Assert.DoesNotContain(producer.For(Node).Listeners.Get<Listener>("outbound").ListenerFilters, filter => filter.Name.Contains("http_inspector", StringComparison.Ordinal));

        // A route of the callers' own namespace is for them alone: what the others send there flows as it did.
        var consumer = CompiledWorld.From(World(Given.Route("shop/to-cart", "cart", Given.Rule(new HttpRouteMatch(), Given.Backend("cart", 82)))), null);
        Assert.Single(Undeclared(consumer.For(Node with { Namespace = "shop" })));
        Assert.Equal(2, Undeclared(consumer.For(Node)).Count);
        Assert.Same(consumer.For(Node).Listeners.Items[0], consumer.For(Node with { Namespace = "other" }).Listeners.Items[0]);

        // A route for another port says nothing of this one.
        var other = Given.Route("to-cart", "cart", Given.Rule(new HttpRouteMatch(), Given.Backend("cart", 80)));
        Assert.Equal(2, Undeclared(World(other with { Parents = [new ParentRef(Given.Name("cart"), 80)] }).For(Node)).Count);

        static World World(HttpRoute route) => Given.World([], new RuleSet { Services = [Documents[0]], HttpRoutes = [route] });
        static List<string> Undeclared(NodeConfig config) => [.. Describe(config.Listeners.Get<Listener>("outbound")).Where(text => text.Contains("|82|", StringComparison.Ordinal))];
    }

    [Fact]
    public void An_upstream_of_undeclared_protocol_with_a_route_is_HTTP_or_nothing()
    {
        var node = Compiled.Node() with { DiscoverAll = false, Upstreams = [new NodeUpstream("cart", 82, new HostPort("127.0.0.1", 9000), null)] };
        var rules = new RuleSet { Services = [Documents[0]] };
        var detecting = Upstream(Given.World([], rules));
        Assert.NotNull(detecting.DefaultFilterChain);
        var ruled = Upstream(Given.World([], rules with { HttpRoutes = [Given.Route("to-cart", "cart", Given.Rule(new HttpRouteMatch(), Given.Backend("cart", 82)))] }));
        Assert.Null(ruled.DefaultFilterChain);
        Assert.NotNull(Rds(Assert.Single(ruled.FilterChains)));
        Assert.Empty(ruled.ListenerFilters);

        Listener Upstream(World world) => world.For(node).Listeners.Items.Select(item => item.Body.Unpack<Listener>()).Single(listener => listener.Name.StartsWith("upstream", StringComparison.Ordinal));
    }

    internal static VirtualAddresses Addresses(params (string Service, string[] Addresses)[] given) =>
        new(given.ToFrozenDictionary(pair => Given.Name(pair.Service), pair => pair.Addresses.ToImmutableArray()), true);

    private static List<string> Describe(Listener listener) => [.. listener.FilterChains.Append(listener.DefaultFilterChain).Select(Describe)];

    private static string Describe(FilterChain chain)
    {
        var match = chain.FilterChainMatch;
        var words = new List<string> { chain.Name };
        if (match is not null) words.AddRange(match.PrefixRanges.Select(range => $"{range.AddressPrefix}/{range.PrefixLen}"));
        if (match?.DestinationPort is { } port) words.Add($"{port}");
        if (match is { ApplicationProtocols.Count: > 0 }) words.Add(string.Join(',', match.ApplicationProtocols));
        words.Add("-> " + (Rds(chain) is { } table ? $"rds {table}" : chain.Filters[0].TypedConfig.Unpack<TcpProxy>().Cluster));
        return string.Join(' ', words);
    }

    private static string? Rds(FilterChain chain) =>
        chain.Filters[^1].TypedConfig.Is(HttpConnectionManager.Descriptor) ? chain.Filters[^1].TypedConfig.Unpack<HttpConnectionManager>().Rds.RouteConfigName : null;
}
