using Envoy.Config.Core.V3;
using Envoy.Config.Endpoint.V3;
using Envoy.Config.Route.V3;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Mesh.Api.Xds;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Config.Builders;
using Mesh.Tests;
using Cluster = Envoy.Config.Cluster.V3.Cluster;
using Route = Envoy.Config.Route.V3.Route;
using RouteMatch = Envoy.Config.Route.V3.RouteMatch;
using VirtualHost = Envoy.Config.Route.V3.VirtualHost;

namespace Mesh.Sidecar.Tests.Config;

/// <summary>From sets of resources to snapshots: what is made anew, and what is carried over.</summary>
public sealed class LinkerTests
{
    private readonly Linker linker = new();
    private ResourceSet set = Yaml.Set(Yaml.Listener($"filter_chains: [{{filters: [{{name: hcm, typed_config: {{{Yaml.Hcm}, {Yaml.Router}, rds: {{route_config_name: r, config_source: {{ads: {{}}}}}}}}}}]}}]")
        + "\nresources: [{\"@type\": type.googleapis.com/envoy.config.route.v3.RouteConfiguration, name: r}]");

    [Fact]
    public void An_endpoint_change_keeps_the_state_of_the_rest()
    {
        Take(TypeUrls.Cluster, Eds("a"), Eds("b"));
        Take(TypeUrls.ClusterLoadAssignment, Endpoints("a", 1, 2), Endpoints("b", 9));
        Take(TypeUrls.RouteConfiguration, Table(("va", "a"), ("vb", "b")));
        var before = linker.Link(set);
        Take(TypeUrls.ClusterLoadAssignment, Endpoints("a", 2, 3));
        var after = linker.Link(set);

        Assert.Equal(before.Number + 1, after.Number);
        Assert.Same(before.Clusters[0].State, after.Clusters[0].State);
        Assert.Same(before.Clusters[0].Endpoints[1].Stats, after.Clusters[0].Endpoints[0].Stats);
        Assert.NotSame(before.Clusters[0].Endpoints[0].Stats, after.Clusters[0].Endpoints[1].Stats);
        Assert.Same(before.Clusters[1], after.Clusters[1]);
        Assert.Same(before.RouteTables[0].Hosts[1], after.RouteTables[0].Hosts[1]);
        Assert.Same(before.RouteTables[0].Exact, after.RouteTables[0].Exact);
        Assert.Same(after.Clusters[0], after.RouteTables[0].Hosts[0].Routes[0].Clusters[0].Cluster);
        Assert.Same(after.RouteTables[0], after.Listeners[0]!.Chains[0].Http!.Routes);
        Assert.Empty(linker.TakeRetired());
    }

    [Fact]
    public void The_same_resources_again_are_the_same_objects()
    {
        Take(TypeUrls.Cluster, Eds("a"));
        Take(TypeUrls.ClusterLoadAssignment, Endpoints("a", 1));
        Take(TypeUrls.RouteConfiguration, Table(("va", "a")));
        var before = linker.Link(set);
        Take(TypeUrls.Cluster, Eds("a"));
        Take(TypeUrls.ClusterLoadAssignment, Endpoints("a", 1));
        Take(TypeUrls.RouteConfiguration, Table(("va", "a")));
        var after = linker.Link(set);
        Assert.Same(before.Clusters[0], after.Clusters[0]);
        Assert.Same(before.RouteTables[0], after.RouteTables[0]);
    }

    [Fact]
    public void State_is_kept_while_the_settings_of_connections_are_equal()
    {
        Take(TypeUrls.Cluster, Eds("a"));
        var first = linker.Link(set).Clusters[0].State;
        Take(TypeUrls.Cluster, Eds("a", c => c.LbPolicy = Cluster.Types.LbPolicy.LeastRequest));
        var second = linker.Link(set).Clusters[0];
        Assert.Equal((first, Mesh.Sidecar.Balancing.LbPolicy.LeastRequest), (second.State, second.Policy));
        Take(TypeUrls.Cluster, Eds("a", c => c.Http2ProtocolOptions = new Http2ProtocolOptions()));
        var third = linker.Link(set).Clusters[0].State;
        Assert.NotSame(first, third);
        Assert.Equal([first], linker.TakeRetired());
        Take(TypeUrls.Cluster);
        linker.Link(set);
        Assert.Equal([third], linker.TakeRetired());
    }

    [Fact]
    public void A_cluster_that_goes_leaves_its_routes_without_one()
    {
        Take(TypeUrls.Cluster, Eds("a"));
        Take(TypeUrls.RouteConfiguration, Table(("va", "a")));
        Assert.NotNull(linker.Link(set).RouteTables[0].Hosts[0].Routes[0].Clusters[0].Cluster);
        Take(TypeUrls.Cluster);
        Assert.Null(linker.Link(set).RouteTables[0].Hosts[0].Routes[0].Clusters[0].Cluster);
        Take(TypeUrls.Cluster, Eds("a"));
        Assert.NotNull(linker.Link(set).RouteTables[0].Hosts[0].Routes[0].Clusters[0].Cluster);
    }

    [Fact]
    public void A_listener_keeps_its_slot_for_life()
    {
        var slot = linker.Link(set).Listeners.Single()!.Slot;
        var listener = set.Listeners!["l"].Raw;
        var other = Envoy.Config.Listener.V3.Listener.Parser.ParseFrom(listener.Value);
        other.Name = "a";
        Take(TypeUrls.Listener, other);
        var alone = linker.Link(set);
        Assert.Null(alone.Listeners[slot]);
        Assert.Equal("a", alone.Listeners[1]!.Name);
        other.Address.SocketAddress.PortValue++;
        set = Accept(set, TypeUrls.Listener, [listener, Packing.Pack(other)]);
        Assert.Equal(["l", "a"], linker.Link(set).Listeners.Select(l => l!.Name));
    }

    [Fact]
    public void Equal_labels_are_one_object()
    {
        const string metadata = """, metadata: {filter_metadata: {mesh.workload: {workload: w, namespace: n, service: s, version: v}}}""";
        var cluster = Yaml.Snapshot(Yaml.Cluster($$"""
            load_assignment: {endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 10.0.0.1, port_value: 80} } }{{metadata}} },
            {endpoint: {address: {socket_address: {address: 10.0.0.2, port_value: 80} } }{{metadata}} }]}]}
            """)).Clusters[0];
        Assert.Same(cluster.Endpoints[0].Peer, cluster.Endpoints[1].Peer);
    }

    [Fact]
    public void A_hundred_thousand_routes_take_less_than_a_second_and_a_changed_endpoint_far_less()
    {
        const int hosts = 1000;
        var table = new RouteConfiguration { Name = "r" };
        for (var h = 0; h < hosts; h++)
        {
            var host = new VirtualHost { Name = $"v{h}", Domains = { $"s{h}", $"s{h}.default", $"s{h}.default.svc.cluster.local", $"s{h}.service.consul" } };
            for (var r = 0; r < 100; r++) host.Routes.Add(RouteTo("a", $"/p{r}"));
            table.VirtualHosts.Add(host);
        }

        var any = Packing.Pack(table);
        Take(TypeUrls.Cluster, Eds("a"), Eds("b"));
        Take(TypeUrls.ClusterLoadAssignment, Endpoints("a", 1), Endpoints("b", 1));
        linker.Link(set);
        Accept(set, TypeUrls.RouteConfiguration, [any]); // Once for the just-in-time compiler.
        Snapshot? snapshot = null;
        var whole = ThreadTime.Of(() =>
        {
            set = Accept(set, TypeUrls.RouteConfiguration, [any]);
            snapshot = linker.Link(set);
        });
        Assert.Equal(100_000, snapshot!.RouteTables[0].Hosts.Sum(h => h.Routes.Length));

        Take(TypeUrls.ClusterLoadAssignment, Endpoints("b", 2));
        var change = ThreadTime.Of(() => linker.Link(set));
        Assert.True(whole < TimeSpan.FromSeconds(4), $"{whole}"); // 1 s by itself; the processor's caches are shared
        Assert.True(change < TimeSpan.FromSeconds(1), $"{change}");
    }

    private void Take(string type, params IMessage[] resources) => set = Accept(set, type, [.. resources.Select(Packing.Pack)]);

    private static ResourceSet Accept(ResourceSet set, string type, IReadOnlyList<Any> resources)
    {
        var errors = new ConfigErrors();
        var next = ResourceSetBuilder.With(set, type, "v", resources, errors);
        Assert.Empty(errors.Texts);
        return next;
    }

    private static Cluster Eds(string name, Action<Cluster>? change = null)
    {
        var cluster = new Cluster { Name = name, Type = Cluster.Types.DiscoveryType.Eds, EdsClusterConfig = new() { EdsConfig = new ConfigSource { Ads = new() } } };
        change?.Invoke(cluster);
        return cluster;
    }

    private static ClusterLoadAssignment Endpoints(string name, params int[] hosts)
    {
        var locality = new LocalityLbEndpoints();
        foreach (var host in hosts)
            locality.LbEndpoints.Add(new LbEndpoint { Endpoint = new() { Address = new() { SocketAddress = new() { Address = $"10.0.0.{host}", PortValue = 80 } } } });
        return new ClusterLoadAssignment { ClusterName = name, Endpoints = { locality } };
    }

    private static RouteConfiguration Table(params (string Host, string Cluster)[] hosts)
    {
        var table = new RouteConfiguration { Name = "r" };
        foreach (var (host, cluster) in hosts) table.VirtualHosts.Add(new VirtualHost { Name = host, Domains = { host }, Routes = { RouteTo(cluster, "/") } });
        return table;
    }

    private static Route RouteTo(string cluster, string prefix) => new() { Match = new RouteMatch { Prefix = prefix }, Route_ = new RouteAction { Cluster = cluster } };
}
