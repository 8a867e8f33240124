using Envoy.Config.Core.V3;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Mesh.ControlPlane.Compilation;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Tests.Compilation;

/// <summary>What a node says about itself, and what is wrong with it.</summary>
public sealed class NodeTests
{
    [Fact]
    public void Sidecar_in_full()
    {
        Assert.True(NodeDescription.TryParse(
            Node("""
            {"service": "web", "namespace": "shop", "version": "v2", "workload": "web-1", "labels": {"a": "b"},
             "ports": [{"port": 8080, "name": "http", "protocol": "http", "listen": "127.0.0.1:41000"}, {"port": 9090, "listen": "[::1]:41001"}],
             "outbound": "127.0.0.1:15001",
             "upstreams": [{"service": "db", "port": 5432, "listen": "127.0.0.1:9191", "protocol": "tcp"}, {"service": "cache", "listen": "127.0.0.1:9192"}],
             "discover": "declared"}
            """),
            out var node, out _));
        Assert.Equal(("web", "shop", "v2", "web-1", EmitterKind.Sidecar), (node.Service, node.Namespace, node.Version, node.Workload, node.Emitter));
        Assert.Equal(
            new[]
            {
                new NodePort(8080, "http", AppProtocol.Http, new HostPort("127.0.0.1", 41000)),
                new NodePort(9090, "", AppProtocol.Unknown, new HostPort("::1", 41001)),
            },
            node.Ports.ToArray());
        Assert.Equal(new HostPort("127.0.0.1", 15001), node.Outbound);
        Assert.Equal(
            new[]
            {
                new NodeUpstream("db", 5432, new HostPort("127.0.0.1", 9191), AppProtocol.Tcp),
                new NodeUpstream("cache", null, new HostPort("127.0.0.1", 9192), null),
            },
            node.Upstreams.ToArray());
        Assert.False(node.DiscoverAll);
    }

    [Fact]
    public void Captured_sidecar()
    {
        Assert.True(NodeDescription.TryParse(
            Node("""
            {"service": "web", "ports": [{"port": 8080, "protocol": "http"}],
             "capture": {"mode": "tproxy", "outbound": ["127.0.0.1:15001", "[::1]:15001"], "inbound": ["0.0.0.0:15006", "[::]:15006"], "dns": true}}
            """),
            out var node, out _));
        Assert.Equal(new NodePort(8080, "", AppProtocol.Http, null), node.Ports.Single());
        Assert.Equal((true, true, true), (node.Capture!.Transparent, node.Capture.Dns, node.SeesEverything));
        Assert.Equal(["127.0.0.1:15001", "[::1]:15001"], node.Capture.Outbound.Select(address => $"{address}"));
        Assert.Equal(["0.0.0.0:15006", "[::]:15006"], node.Capture.Inbound.Select(address => $"{address}"));
        Assert.Equal(node.Capture.Outbound[0], node.Outbound);
    }

    [Theory]
    [InlineData("gRPC Node Pure JS", EmitterKind.Grpc)]
    [InlineData("gRPC C-core linux", EmitterKind.Grpc)]
    [InlineData("grpc-go", EmitterKind.Grpc)]
    [InlineData("envoy", EmitterKind.Sidecar)]
    [InlineData("mesh-sidecar", EmitterKind.Sidecar)]
    [InlineData("", EmitterKind.Sidecar)]
    public void Dialect_follows_the_user_agent(string agent, object dialect)
    {
        Assert.True(NodeDescription.TryParse(new Node { Id = "x", UserAgentName = agent }, out var node, out _));
        Assert.Equal(dialect, node.Emitter);
    }

    [Theory]
    [InlineData("sidecar~127.0.0.1~web-1~shop", "shop")]
    [InlineData("sidecar~127.0.0.1~web-1~local", "default")]
    [InlineData("anything", "default")]
    public void Without_metadata_the_namespace_is_in_the_id(string id, string ns)
    {
        Assert.True(NodeDescription.TryParse(new Node { Id = id, Cluster = "web" }, out var node, out _));
        Assert.Equal((ns, "web", false), (node.Namespace, node.Service, node.SeesEverything));
    }

    [Theory]
    [InlineData("""{"service": 7}""", "node.metadata.mesh.service must be a string")]
    [InlineData("""{"ports": {}}""", "node.metadata.mesh.ports must be a list of at most 1024 structs")]
    [InlineData("""{"ports": [7]}""", "node.metadata.mesh.ports[0] must be a struct")]
    [InlineData("""{"ports": [{"listen": "127.0.0.1:1"}]}""", "node.metadata.mesh.ports[0].port is missing")]
    [InlineData("""{"ports": [{"port": 70000, "listen": "127.0.0.1:1"}]}""", "node.metadata.mesh.ports[0].port must be a port number, 1 to 65535")]
    [InlineData("""{"ports": [{"port": 80.5, "listen": "127.0.0.1:1"}]}""", "node.metadata.mesh.ports[0].port must be a port number, 1 to 65535")]
    [InlineData("""{"ports": [{"port": 80}]}""", "node.metadata.mesh.ports[0].listen must be the bound IP:PORT, is \"\"")]
    [InlineData("""{"ports": [{"port": 80, "listen": "localhost:80"}]}""", "node.metadata.mesh.ports[0].listen must be the bound IP:PORT, is \"localhost:80\"")]
    [InlineData("""{"ports": [{"port": 80, "listen": "127.0.0.1:80", "protocol": "udp"}]}""", "node.metadata.mesh.ports[0].protocol must be http, http2, grpc, tcp or unknown, is \"udp\"")]
    [InlineData("""{"outbound": "127.0.0.1"}""", "node.metadata.mesh.outbound must be the bound IP:PORT, is \"127.0.0.1\"")]
    [InlineData("""{"upstreams": [{"listen": "127.0.0.1:1"}]}""", "node.metadata.mesh.upstreams[0].service is missing")]
    [InlineData("""{"capture": 7}""", "node.metadata.mesh.capture must be a struct")]
    [InlineData("""{"capture": {"mode": "all"}}""", "node.metadata.mesh.capture.mode must be \"redirect\" or \"tproxy\", is \"all\"")]
    [InlineData("""{"capture": {"mode": "redirect"}}""", "node.metadata.mesh.capture has neither outbound nor inbound addresses: give at least one, or leave it out")]
    [InlineData("""{"capture": {"mode": "redirect", "outbound": "127.0.0.1:1"}}""", "node.metadata.mesh.capture.outbound must be a list of one or two IP:PORT")]
    [InlineData("""{"capture": {"mode": "redirect", "outbound": ["127.0.0.1:1", "127.0.0.1:2"]}}""", "node.metadata.mesh.capture.outbound has two addresses of one family: give one of each")]
    [InlineData("""{"capture": {"mode": "redirect", "outbound": ["127.0.0.1"]}}""", "node.metadata.mesh.capture.outbound[0] must be the bound IP:PORT, is \"127.0.0.1\"")]
    [InlineData("""{"capture": {"mode": "redirect", "outbound": ["0.0.0.0:15001"]}}""", "node.metadata.mesh.capture.outbound must be on loopback, is 0.0.0.0:15001")]
    [InlineData("""{"capture": {"mode": "redirect", "inbound": ["0.0.0.0:15006"], "dns": "yes"}}""", "node.metadata.mesh.capture.dns must be true or false")]
    [InlineData("""{"ports": [{"port": 80, "listen": "127.0.0.1:1"}], "capture": {"mode": "redirect", "inbound": ["0.0.0.0:15006"]}}""", "node.metadata.mesh.ports[0].listen must not be there: capture.inbound takes the traffic of every port")]
    [InlineData("""{"ports": [{"port": 80}], "capture": {"mode": "redirect", "outbound": ["127.0.0.1:15001"]}}""", "node.metadata.mesh.ports[0].listen must be the bound IP:PORT, is \"\"")]
    [InlineData("""{"discover": "some"}""", "node.metadata.mesh.discover must be \"all\" or \"declared\", is \"some\"")]
    [InlineData("""{"namespace": "My.Shop"}""", "node.metadata.mesh.namespace must be a DNS label (a-z, 0-9, -), is \"My.Shop\"")]
    public void Wrong_metadata_is_named(string mesh, string expected)
    {
        Assert.False(NodeDescription.TryParse(Node(mesh), out _, out var error));
        Assert.Equal(expected, error);
    }

    [Fact]
    public void No_id_is_an_error()
    {
        Assert.False(NodeDescription.TryParse(new Node(), out _, out var error));
        Assert.StartsWith("node.id is empty", error, StringComparison.Ordinal);
    }

    [Fact]
    public void What_is_kept_of_a_node_is_bounded()
    {
        var large = Node("{}");
        large.Metadata.Fields["more"] = Value.ForString(new string('x', 600_000));
        Assert.False(NodeDescription.TryParse(large, out _, out var error));
        Assert.StartsWith("node is of 600", error, StringComparison.Ordinal);
        var named = Node("{}");
        named.Id = new string('x', 2000);
        Assert.False(NodeDescription.TryParse(named, out _, out error));
        Assert.Equal("node.id has 2000 characters, and 1024 are taken", error);
    }

    private static Node Node(string mesh) => new()
    {
        Id = "sidecar~127.0.0.1~web-1~default",
        Cluster = "cluster",
        UserAgentName = "mesh-sidecar",
        Metadata = new Struct { Fields = { ["mesh"] = Value.ForStruct(JsonParser.Default.Parse<Struct>(mesh)) } },
    };
}
