using Mesh.ControlPlane.Compilation;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Tests.Model;

namespace Mesh.ControlPlane.Tests.Compilation;

/// <summary>A sidecar's whole configuration in a world of two services.</summary>
public sealed class SmallWorldTests
{
    private static readonly World World = Given.World([Given.Workload("web-1", "web", "8080:http:http"), Given.Workload("db-1", "db", "5432:tcp")]);

    [Fact]
    public void Node_gets_its_listeners_all_services_and_its_application()
    {
        var config = World.For(Compiled.Node() with
        {
            Ports = [new NodePort(3000, "", AppProtocol.Unknown, new HostPort("127.0.0.1", 41000))],
            Upstreams = [new NodeUpstream("db", null, new HostPort("127.0.0.1", 9191), null)],
        });
        Assert.Equal(
            ["PassthroughCluster", "inbound|3000||", "outbound|5432||db.default.svc.cluster.local", "outbound|8080||web.default.svc.cluster.local"], config.Clusters.Names());
        Assert.Equal(["outbound|5432||db.default.svc.cluster.local", "outbound|8080||web.default.svc.cluster.local"], config.Endpoints.Names());
        Assert.Equal(["inbound|3000", "outbound", "upstream|db|127.0.0.1:9191"], config.Listeners.Names());
        Assert.Equal(["outbound"], config.Routes.Names());
        Assert.Equal("outbound|8080||web.default.svc.cluster.local", config.Host("web").Routes[0].Route_.Cluster);
        Assert.Empty(config.Notices);
    }
}
