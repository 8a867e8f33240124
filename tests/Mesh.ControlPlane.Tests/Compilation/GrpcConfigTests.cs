using Envoy.Config.Cluster.V3;
using Envoy.Config.Endpoint.V3;
using Envoy.Config.Listener.V3;
using Envoy.Config.Route.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Mesh.ControlPlane.Compilation;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Tests.Model;

namespace Mesh.ControlPlane.Tests.Compilation;

/// <summary>Configuration for gRPC libraries: everything by name, nothing they refuse.</summary>
public sealed class GrpcConfigTests
{
    private static readonly NodeConfig Shop = ShopWorld.World.For(Compiled.GrpcNode());

    [Theory]
    [InlineData("cart", "outbound|9090||cart.default.svc.cluster.local")]
    [InlineData("cart:9090", "outbound|9090||cart.default.svc.cluster.local")]
    [InlineData("cart:80", "outbound|9090||cart.default.svc.cluster.local")]
    [InlineData("cart.default.svc.cluster.local:9090", "outbound|9090||cart.default.svc.cluster.local")]
    [InlineData("payments", "outbound|80||payments.default.svc.cluster.local")]
    public void Names_lead_to_routes_that_lead_to_clusters_with_endpoints(string name, string cluster)
    {
        var manager = Shop.Listeners.Get<Listener>(name).ApiListener.ApiListener_.Unpack<HttpConnectionManager>();
        Assert.NotNull(manager.Rds.ConfigSource.Ads);
        Assert.Equal(cluster, manager.Rds.RouteConfigName);
        Assert.Equal("*", Assert.Single(Assert.Single(Shop.Routes.Get<RouteConfiguration>(cluster).VirtualHosts).Domains));
        Assert.NotNull(Shop.Clusters.Get<Cluster>(cluster).EdsClusterConfig.EdsConfig.Ads);
        Assert.NotEmpty(Shop.Endpoints.Get<ClusterLoadAssignment>(cluster).Endpoints);
    }

    [Fact]
    public void Without_port_the_gRPC_port_is_meant()
    {
        var config = Given.World([Given.Workload("a", "a", "80:http:http", "9090:grpc:rpc")]).For(Compiled.GrpcNode());
        Assert.Equal("outbound|9090||a.default.svc.cluster.local", config.Listeners.Get<Listener>("a").ApiListener.ApiListener_.Unpack<HttpConnectionManager>().Rds.RouteConfigName);
    }

    [Fact]
    public void Listeners_have_no_idle_timeout_and_end_with_the_router() => Assert.All(Shop.Listeners.Items, item =>
    {
        var manager = item.Body.Unpack<Listener>().ApiListener.ApiListener_.Unpack<HttpConnectionManager>();
        Assert.Null(manager.CommonHttpProtocolOptions);
        Assert.Equal("envoy.filters.http.router", Assert.Single(manager.HttpFilters).Name);
        Assert.Equal(0u, manager.XffNumTrustedHops);
    });

    [Fact]
    public void Routes_forward_and_do_nothing_else() => Assert.All(
        Shop.Routes.Items.SelectMany(item => item.Body.Unpack<RouteConfiguration>().VirtualHosts).SelectMany(host => host.Routes), route =>
    {
        Assert.Equal(Route.ActionOneofCase.Route_, route.ActionCase);
        Assert.NotEqual(RouteMatch.PathSpecifierOneofCase.PathSeparatedPrefix, route.Match.PathSpecifierCase);
        Assert.All(route.Match.Headers, header => Assert.Null(header.StringMatch));
        Assert.True(route.Route_.RetryPolicy is null || route.Route_.RetryPolicy.NumRetries >= 1);
        if (route.Route_.WeightedClusters is { } split) Assert.True(split.Clusters.Sum(cluster => cluster.Weight) > 0);
    });

    [Fact]
    public void Localities_are_named_and_weighted_and_addresses_are_addresses() => Assert.All(
        Shop.Endpoints.Items.SelectMany(item => item.Body.Unpack<ClusterLoadAssignment>().Endpoints), locality =>
    {
        Assert.NotNull(locality.Locality);
        Assert.True(locality.LoadBalancingWeight > 0u);
        Assert.All(locality.LbEndpoints, endpoint => Assert.True(System.Net.IPAddress.TryParse(endpoint.Endpoint.Address.SocketAddress.Address, out _)));
    });

    [Fact]
    public void Host_names_are_left_out_and_said()
    {
        Assert.Empty(Shop.Endpoints.Get<ClusterLoadAssignment>("outbound|80||legacy.default.svc.cluster.local").Endpoints);
        Assert.Contains(Shop.Notices, notice => notice.Text.Contains("default/legacy port 80 that are registered by host name", StringComparison.Ordinal));
    }

    [Fact]
    public void An_invalid_backend_is_a_cluster_that_nobody_serves()
    {
        Assert.Equal(Cluster.Types.DiscoveryType.Eds, Shop.Clusters.Get<Cluster>("mesh-invalid-backend").Type);
        Assert.Empty(Shop.Endpoints.Get<ClusterLoadAssignment>("mesh-invalid-backend").Endpoints);
    }

    [Fact]
    public void TCP_ports_are_not_offered() => Assert.DoesNotContain(Shop.Listeners.Names(), name => name.StartsWith("db", StringComparison.Ordinal) || name == "payments:81");

    [Theory]
    [InlineData(null, null, "-")]
    [InlineData("503", null, "unavailable x2")]
    [InlineData("500 429 504", 4, "deadline-exceeded,internal,resource-exhausted,unavailable x4")]
    [InlineData("503", 0, "-")]
    public void Retries_by_gRPC_status(string? codes, int? attempts, string expected)
    {
        var rule = Given.Rule(HttpRouteMatch.Everything, Given.Backend("a", 80)) with
        {
            Retry = codes is null ? null : new RetryRule([.. codes.Split(' ').Select(int.Parse)], attempts, null),
        };
        var policy = RouteActionCompiler.Grpc(rule).RetryPolicy;
        Assert.Equal(expected, policy is null ? "-" : $"{policy.RetryOn} x{policy.NumRetries}");
    }

    [Fact]
    public void A_request_timeout_bounds_the_stream_and_zero_does_not()
    {
        var rule = Given.Rule(HttpRouteMatch.Everything, Given.Backend("a", 80));
        Assert.Null(RouteActionCompiler.Grpc(rule).MaxStreamDuration);
        Assert.Null(RouteActionCompiler.Grpc(rule with { RequestTimeout = TimeSpan.Zero }).MaxStreamDuration);
        Assert.Equal(TimeSpan.FromSeconds(3), RouteActionCompiler.Grpc(rule with { RequestTimeout = TimeSpan.FromSeconds(3) }).MaxStreamDuration.MaxStreamDuration_.ToTimeSpan());
    }
}
