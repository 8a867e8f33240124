using System.Collections.Immutable;
using System.Net;
using System.Text;
using Envoy.Config.Cluster.V3;
using Envoy.Config.Listener.V3;
using Mesh.Api.V1;
using Mesh.ControlPlane.Compilation;
using Mesh.ControlPlane.Dns;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Rules;
using Mesh.ControlPlane.Tests.Model;
using static Envoy.Config.Cluster.V3.Cluster.Types;

namespace Mesh.ControlPlane.Tests.Compilation;

/// <summary>Services outside of the mesh: what ExternalName and ServiceEntry documents become.</summary>
public sealed class ExternalServiceTests
{
    private const string Documents = """
        apiVersion: v1
        kind: Service
        metadata: {name: ext}
        spec: {type: ExternalName, externalName: Payments.Example.COM, ports: [{port: 80, name: http, targetPort: 8080}]}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: any}
        spec: {type: ExternalName, externalName: any.example.com}
        ---
        apiVersion: networking.istio.io/v1
        kind: ServiceEntry
        metadata: {name: payments, namespace: shop}
        spec:
          hosts: [payments.example.com, Other.example.com]
          location: MESH_EXTERNAL
          resolution: DNS
          ports:
          - {number: 80, name: http, protocol: http, targetPort: 8080}
          - {number: 443, name: tls, protocol: TLS}
        ---
        apiVersion: networking.istio.io/v1
        kind: ServiceEntry
        metadata: {name: db}
        spec:
          hosts: [db.example.com]
          addresses: [192.0.2.7]
          resolution: STATIC
          ports: [{number: 3306, name: mysql, protocol: MYSQL}]
          endpoints:
          - {address: 198.51.100.1, ports: {mysql: 13306}, locality: eu/eu-1/rack, weight: 3}
          - {address: "2001:db8::1"}
        ---
        apiVersion: networking.istio.io/v1
        kind: ServiceEntry
        metadata: {name: raw}
        spec:
          hosts: [raw.example.com]
          addresses: [192.0.2.8/32]
          ports: [{number: 7000, name: raw, protocol: TCP}]
        ---
        apiVersion: gateway.networking.k8s.io/v1
        kind: HTTPRoute
        metadata: {name: split}
        spec:
          parentRefs: [{group: "", kind: Service, name: cart}]
          rules:
          - backendRefs:
            - {name: ext, port: 80, weight: 1}
            - {group: networking.istio.io, kind: Hostname, name: payments.example.com, port: 80, weight: 2}
            - {group: networking.istio.io, kind: Hostname, name: nobody.example.com, port: 80, weight: 3}
        """;

    internal static World World { get; } = Build();

    private static readonly NodeConfig Config = World.For(CapturedOutboundTests.Node with { Identity = "spiffe://cluster.local/ns/default/sa/client" });

    [Theory]
    [InlineData("outbound|80||ext.default.svc.cluster.local", DiscoveryType.StrictDns, "payments.example.com:8080")]
    [InlineData("outbound|443||any.default.svc.cluster.local", DiscoveryType.StrictDns, "any.example.com:443")]
    [InlineData("outbound|80||payments.example.com", DiscoveryType.StrictDns, "payments.example.com:8080")]
    [InlineData("outbound|443||other.example.com", DiscoveryType.StrictDns, "other.example.com:443")]
    [InlineData("outbound|3306||db.example.com", DiscoveryType.Static, "198.51.100.1:13306 2001:db8::1:3306")]
    [InlineData("outbound|7000||raw.example.com", DiscoveryType.OriginalDst, "")]
    public void Each_port_is_a_cluster_that_holds_its_endpoints_and_never_expects_mutual_TLS(string name, DiscoveryType type, string endpoints)
    {
        var cluster = Config.Clusters.Get<Cluster>(name);
        Assert.Equal(type, cluster.Type);
        Assert.Equal(type == DiscoveryType.StrictDns ? DnsLookupFamily.V4Preferred : DnsLookupFamily.Auto, cluster.DnsLookupFamily);
        Assert.Equal(endpoints, string.Join(' ', (cluster.LoadAssignment?.Endpoints ?? []).SelectMany(locality => locality.LbEndpoints).Select(e => e.Endpoint.Address.SocketAddress).OrderBy(a => a.Address, StringComparer.Ordinal).Select(a => $"{a.Address}:{a.PortValue}")));
        Assert.Empty(cluster.TransportSocketMatches);
        Assert.True(cluster.Metadata.FilterMetadata["mesh.service"].Fields["external"].BoolValue);
    }

    [Fact]
    public void Metrics_and_edges_have_the_hosts_name_and_the_namespace_of_who_declared_it()
    {
        var service = Config.Clusters.Get<Cluster>("outbound|80||payments.example.com").Metadata.FilterMetadata["mesh.service"].Fields;
        Assert.Equal(("payments.example.com", "payments.example.com", "shop"), (service["host"].StringValue, service["name"].StringValue, service["namespace"].StringValue));
    }

    [Theory]
    // A virtual address tells hosts apart that share a port; where the document has addresses, these do.
    [InlineData("outbound", "240.0.0.1|80|http payments.example.com", "240.0.0.1|443|tcp payments.example.com", "240.0.0.2|443|tcp other.example.com")]
    [InlineData("outbound", "192.0.2.7|3306|tcp db.example.com", "192.0.2.8|7000|tcp raw.example.com", "240.0.0.3|80|http ext.default.svc.cluster.local")]
    [InlineData("outbound6", "fd6d::1|80|http payments.example.com")]
    public void Captured_connections_are_told_apart_by_address(string listener, params string[] expected)
    {
        var chains = Config.Listeners.Get<Listener>(listener).FilterChains.Select(chain => chain.Name).ToArray();
        foreach (var one in expected) Assert.Contains(one.Split(' ')[0], chains);
    }

    [Fact]
    public void Names_are_told_to_sidecars()
    {
        var table = Config.Names.Get<NameTable>("names");
        Assert.Equal(
            ["db.example.com 192.0.2.7", "other.example.com 240.0.0.2", "payments.example.com 240.0.0.1 fd6d::1", "raw.example.com 192.0.2.8"],
            table.Externals.Select(external => $"{external.Host} {string.Join(' ', external.Addresses.Select(address => new IPAddress(address.Span)))}"));
        Assert.Equal(["any", "cart", "ext"], table.Services.Select(service => service.Name));
    }

    [Fact]
    public void Requests_and_tunnels_go_by_host()
    {
        Assert.Equal(["payments.example.com", "payments.example.com:80"], Config.Host("payments.example.com").Domains);
        Assert.Equal("outbound|443||payments.example.com", Config.Host("payments.example.com:443").Routes[0].Route_.Cluster);
        Assert.Empty(Config.Host("payments.example.com").Routes[0].Route_.HostRewriteLiteral);
        Assert.Equal("outbound|80||ext.default.svc.cluster.local", Config.Host("ext").Routes[0].Route_.Cluster);
    }

    [Fact]
    public void Routes_lead_there()
    {
        var shares = Config.Host("cart").Routes[0].Route_.WeightedClusters.Clusters.Select(share => $"{share.Weight} {share.Name}");
        Assert.Equal(["1 outbound|80||ext.default.svc.cluster.local", "2 outbound|80||payments.example.com", "3 mesh-invalid-backend"], shares);
        Assert.Contains(World.Notices, notice => notice.Text == "backend nobody.example.com is answered with 500: no ServiceEntry has this host");
    }

    [Fact]
    public void Explicit_upstreams_find_them()
    {
        var node = Compiled.Node() with { DiscoverAll = false, Upstreams = [new NodeUpstream("payments.example.com", 443, new HostPort("127.0.0.1", 9000), null)] };
        var config = World.For(node);
        Assert.Empty(config.Notices);
        Assert.Contains("outbound|443||payments.example.com", config.Clusters.Names());
    }

    [Fact]
    public void Who_registers_under_the_name_of_an_ExternalName_serves_nothing_of_it()
    {
        var world = Build(Given.Workload("ext-1", "ext", "80:http"));
        Assert.Equal(["payments.example.com"], world.Services[new ServiceName("default", "ext")].Ports[0].Endpoints.Select(endpoint => endpoint.Address));
    }

    [Fact]
    public void Hosts_keep_their_virtual_addresses_in_the_book()
    {
        var name = ServiceName.OfHost("payments.example.com");
        var lease = new AddressLease([IPAddress.Parse("240.0.0.1")], DateTimeOffset.UnixEpoch);
        var book = new AddressBook(ImmutableSortedDictionary<ServiceName, AddressLease>.Empty.Add(name, lease).Add(new ServiceName("default", "web"), lease with { Addresses = [IPAddress.Parse("240.0.0.2")] }));
        var read = AddressBook.Read(book.Write());
        Assert.Equal(["default/web", "payments.example.com"], read.Leases.Keys.Select(key => key.ToString()));
        Assert.Equal(lease.Addresses.ToArray(), read.Leases[name].Addresses.ToArray());
        Assert.True(World.Services[name].NeedsAddress);
        Assert.False(World.Services[ServiceName.OfHost("db.example.com")].NeedsAddress);
    }

    [Fact]
    public void What_did_not_change_is_the_same_object()
    {
        var first = CompiledWorld.From(World, null);
        var node = CapturedOutboundTests.Node with { Identity = "spiffe://cluster.local/ns/default/sa/client" };
        var config = first.For(node);
        var second = CompiledWorld.From(World with { Version = 9 }, first).For(node);
        Assert.Same(config.Clusters, second.Clusters);
        Assert.Same(config.Names, second.Names);
        Assert.Same(config.Listeners, second.Listeners);
    }

    private static World Build(params Instance[] more)
    {
        var parsed = RuleReader.Read([new RuleFile("r.yaml", Encoding.UTF8.GetBytes(Documents))]);
        Assert.Empty(parsed.Errors);
        var given = new Dictionary<ServiceName, ImmutableArray<string>>
        {
            [ServiceName.OfHost("payments.example.com")] = ["240.0.0.1", "fd6d::1"],
            [ServiceName.OfHost("other.example.com")] = ["240.0.0.2"],
            [new ServiceName("default", "ext")] = ["240.0.0.3"],
        };
        return Given.World([Given.Workload("cart-1", "cart", "8080:http"), .. more], parsed.Rules) with { Virtual = new VirtualAddresses(given, true) };
    }
}
