using Mesh.ControlPlane.Compilation;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Tests.Model;

namespace Mesh.ControlPlane.Tests.Compilation;

/// <summary>Which host names reach which service, from where.</summary>
public sealed class DomainTests
{
    private static readonly World World = Given.World(
        [
            Given.Workload("w-1", "web", "8080:http"), Given.Workload("w-2", "shop/web", "8080:http"), Given.Workload("o-1", "only", "8080:http"),
            Given.Workload("c-1", "shop/cart", "8080:http"), Given.Workload("m-1", "multi", "8080:http:http", "9090:grpc:rpc"),
        ],
        new RuleSet
        {
            Services = [Given.Service("documented", new ServicePort(8080, "a", AppProtocol.Http), new ServicePort(80, "b", AppProtocol.Http)) with { ClusterIPs = ["10.96.0.7", "fd00::7"] }],
        });

    [Theory]
    // The bare name: one's own namespace first, then default's.
    [InlineData("default", "web", "outbound|8080||web.default.svc.cluster.local")]
    [InlineData("shop", "web", "outbound|8080||web.shop.svc.cluster.local")]
    [InlineData("shop", "only", "outbound|8080||only.default.svc.cluster.local")]
    [InlineData("other", "web", "outbound|8080||web.default.svc.cluster.local")]
    [InlineData("shop", "cart", "outbound|8080||cart.shop.svc.cluster.local")]
    [InlineData("default", "cart", null)]
    // Qualified names mean the same from everywhere.
    [InlineData("shop", "web.default", "outbound|8080||web.default.svc.cluster.local")]
    [InlineData("default", "web.shop", "outbound|8080||web.shop.svc.cluster.local")]
    [InlineData("default", "web.shop.svc", "outbound|8080||web.shop.svc.cluster.local")]
    [InlineData("default", "web.shop.svc.cluster.local", "outbound|8080||web.shop.svc.cluster.local")]
    // Consul's names follow the bare name.
    [InlineData("default", "web.service.consul", "outbound|8080||web.default.svc.cluster.local")]
    [InlineData("shop", "web.service.consul", "outbound|8080||web.shop.svc.cluster.local")]
    [InlineData("shop", "only.service.consul", "outbound|8080||only.default.svc.cluster.local")]
    // With a port: what a registry alone knows has one port, whatever number a client uses.
    [InlineData("default", "web:8080", "outbound|8080||web.default.svc.cluster.local")]
    [InlineData("default", "web:*", "outbound|8080||web.default.svc.cluster.local")]
    [InlineData("default", "web.default.svc.cluster.local:*", "outbound|8080||web.default.svc.cluster.local")]
    [InlineData("default", "multi", "outbound|8080||multi.default.svc.cluster.local")]
    [InlineData("default", "multi:9090", "outbound|9090||multi.default.svc.cluster.local")]
    [InlineData("default", "multi:80", null)]
    [InlineData("default", "multi:*", null)]
    // Documents say their ports; port 80 is what a host without port means.
    [InlineData("default", "documented", "outbound|80||documented.default.svc.cluster.local")]
    [InlineData("default", "documented:8080", "outbound|8080||documented.default.svc.cluster.local")]
    [InlineData("default", "documented:81", null)]
    [InlineData("default", "10.96.0.7", "outbound|80||documented.default.svc.cluster.local")]
    [InlineData("default", "10.96.0.7:8080", "outbound|8080||documented.default.svc.cluster.local")]
    [InlineData("default", "[fd00::7]:8080", "outbound|8080||documented.default.svc.cluster.local")]
    [InlineData("default", "*", "PassthroughCluster")]
    public void Domain_leads_to(string client, string domain, string? cluster)
    {
        var table = World.For(Compiled.Node(ns: client)).Routes.Get<Envoy.Config.Route.V3.RouteConfiguration>("outbound");
        Assert.Equal(cluster, table.VirtualHosts.SingleOrDefault(host => host.Domains.Contains(domain))?.Routes[0].Route_.Cluster);
    }

    [Theory]
    [InlineData("web", "default", "default/web")]
    [InlineData("web", "shop", "shop/web default/web")]
    [InlineData("WEB", "default", "default/web")]
    [InlineData("web.shop", "default", "shop/web web.shop")]
    [InlineData("web.shop.svc", "default", "shop/web")]
    [InlineData("web.shop.svc.cluster.local", "default", "shop/web")]
    [InlineData("web.service.consul", "shop", "shop/web default/web")]
    [InlineData("www.example.com", "default", "www.example.com")]
    [InlineData("", "default", "")]
    [InlineData("a..b", "default", "")]
    [InlineData("10.0.0.1", "default", "")]
    public void Host_can_mean(string host, string client, string services) =>
        Assert.Equal(services, string.Join(' ', ServiceHosts.Meanings(host, client)));

    [Fact]
    public void No_domain_is_in_two_virtual_hosts()
    {
        var world = Given.World([], new RuleSet
        {
            Services =
            [
                Given.Service("a", new ServicePort(80, "", AppProtocol.Http)) with { ClusterIPs = ["10.96.0.7"] },
                Given.Service("b", new ServicePort(80, "", AppProtocol.Http)) with { ClusterIPs = ["10.96.0.7"] },
            ],
        });
        var config = world.For(Compiled.Node());
        var domains = config.Routes.Get<Envoy.Config.Route.V3.RouteConfiguration>("outbound").VirtualHosts.SelectMany(host => host.Domains).ToList();
        Assert.Equal(domains.Distinct(), domains);
        Assert.Equal("outbound|80||a.default.svc.cluster.local", config.Host("10.96.0.7").Routes[0].Route_.Cluster);
        Assert.Contains(config.Notices, notice => notice.Text == "b.default.svc.cluster.local:80 is not reached as 10.96.0.7: a.default.svc.cluster.local:80 has that name");
    }
}
