using System.Collections.Immutable;
using Envoy.Config.Cluster.V3;
using Envoy.Config.Listener.V3;
using Envoy.Extensions.Filters.Network.TcpProxy.V3;
using Mesh.ControlPlane.Compilation;
using Mesh.ControlPlane.Model;
using static Mesh.ControlPlane.Tests.Model.Policies.PolicyWorld;

namespace Mesh.ControlPlane.Tests.Compilation;

/// <summary>The two listeners that take everything that is sent to a captured workload.</summary>
public sealed class CapturedInboundTests
{
    private const string Mutual = "mtls-tcp(tls istio istio-http/1.1 istio-h2)";
    private const string Bytes = Mutual + " tcp(raw_buffer) tls-opaque(tls)";
    private const string MutualHttp = "mtls-http1(tls istio-http/1.1 http/1.1) mtls-http2(tls istio-h2 h2) mtls-http-bytes(tls istio) mtls-http(tls)";

    private static readonly NodeDescription Node = Compiled.Node("cart", "shop") with
    {
        Identity = Prefix + "shop/sa/cart",
        UserAgent = "mesh-sidecar 1",
        Labels = ImmutableSortedDictionary<string, string>.Empty.Add("app", "cart"),
        Ports = [new NodePort(8080, "", AppProtocol.Http, null)],
        Capture = new NodeCapture(false, [], [new HostPort("0.0.0.0", 15006), new HostPort("::", 15006)], false),
    };

    public static TheoryData<string, string> Chains() => new()
    {
        // policies, chains by port
        { "", $"8080: {MutualHttp} http(raw_buffer) | other: {Bytes} | itself" },
        { PeerAuthentication("m", "mtls: {mode: STRICT}"), $"8080: {MutualHttp} | other: mtls-tcp(tls) | itself" },
        { PeerAuthentication("m", "mtls: {mode: DISABLE}"), "8080: http() | other: tcp() | itself" },
        {
            PeerAuthentication("m", "selector: {matchLabels: {app: cart}}, mtls: {mode: STRICT}, portLevelMtls: {8080: {mode: DISABLE}, 9999: {mode: PERMISSIVE}}"),
            $"8080: http() | 9999: {Bytes} | other: mtls-tcp(tls) | itself"
        },
        {
            Authorization("a", "action: DENY, rules: [{to: [{operation: {ports: [\"7000\"]}}]}]"),
            $"8080: {MutualHttp} http(raw_buffer) | 7000: {Bytes.Replace("(", "!(", StringComparison.Ordinal)} | other: {Bytes} | itself"
        },
        {
            // A rule about HTTP on every port: nothing passes as bytes anywhere.
            Authorization("a", "action: DENY, rules: [{to: [{operation: {paths: [/admin]}}]}]"),
            $"8080: {MutualHttp} http(raw_buffer) | other: {MutualHttp} http(raw_buffer) | itself"
        },
        {
            Authorization("a", "action: DENY, rules: [{to: [{operation: {paths: [/admin], ports: [\"7000\"]}}]}]"),
            $"8080: {MutualHttp} http(raw_buffer) | 7000: {MutualHttp} http(raw_buffer) | other: {Bytes} | itself"
        },
    };

    [Theory]
    [MemberData(nameof(Chains))]
    public void Chains_of(string policies, string expected)
    {
        var listener = Inbound(Node, policies)[0];
        var byPort = listener.FilterChains.GroupBy(chain => chain.Name.Split('|')[0]);
        Assert.Equal(expected, string.Join(" | ", byPort.Select(group => group.Key == "itself" ? group.Key : $"{group.Key}: {string.Join(' ', group.Select(Describe))}")));
        // What no chain of its port takes must not find another way in.
        Assert.Null(listener.DefaultFilterChain);
        Assert.All(listener.FilterChains, chain => Assert.Equal(chain.Name.Split('|')[0] switch { "itself" => 15006u, "other" => null, var port => uint.Parse(port) }, chain.FilterChainMatch?.DestinationPort));
        Assert.Equal(listener.FilterChains.Count, listener.FilterChains.Select(chain => chain.Name).Distinct().Count());
    }

    [Fact]
    public void Both_families_take_the_same_and_dial_what_was_dialled()
    {
        var config = Of("").For(Node);
        Assert.Equal(["inbound", "inbound6", "outbound"], config.Listeners.Names());
        var (v4, v6) = (config.Listeners.Get<Listener>("inbound"), config.Listeners.Get<Listener>("inbound6"));
        Assert.Equal(("0.0.0.0", "::", 15006u), (v4.Address.SocketAddress.Address, v6.Address.SocketAddress.Address, v6.Address.SocketAddress.PortValue));
        Assert.Equal(v4.FilterChains, v6.FilterChains);
        Assert.Equal(["envoy.filters.listener.original_dst", "envoy.filters.listener.tls_inspector"], v4.ListenerFilters.Select(filter => filter.Name));
        Assert.Null(v4.Transparent);
        foreach (var name in new[] { "inbound|8080||", "InboundPassthroughCluster" })
        {
            var cluster = config.Clusters.Get<Cluster>(name);
            Assert.Equal((Cluster.Types.DiscoveryType.OriginalDst, Cluster.Types.LbPolicy.ClusterProvided), (cluster.Type, cluster.LbPolicy));
            Assert.Equal("cart", cluster.Metadata.FilterMetadata["mesh.service"].Fields["name"].StringValue);
        }

        Assert.Equal("BlackHoleCluster", v4.FilterChains.Single(chain => chain.Name == "itself").Filters[0].TypedConfig.Unpack<TcpProxy>().Cluster);
        Assert.Null(config.Clusters.Get<Cluster>("BlackHoleCluster").LoadAssignment.Endpoints.FirstOrDefault());
    }

    [Fact]
    public void TPROXY_is_transparent()
    {
        var transparent = Node with { Capture = Node.Capture! with { Transparent = true } };
        Assert.All(Inbound(transparent, ""), listener => Assert.True(listener.Transparent));
        Assert.DoesNotContain(Inbound(transparent, "")[0].ListenerFilters, filter => filter.Name.EndsWith("original_src", StringComparison.Ordinal));
        Assert.Contains(Inbound(transparent with { UserAgent = "envoy" }, "")[0].ListenerFilters, filter => filter.Name.EndsWith("original_src", StringComparison.Ordinal));
    }

    [Fact]
    public void Envoy_is_told_where_not_to_look()
    {
        var policies = PeerAuthentication("m", "selector: {matchLabels: {app: cart}}, portLevelMtls: {8080: {mode: DISABLE}}");
        var envoy = Node with { UserAgent = "envoy", Ports = [.. Node.Ports, new NodePort(8081, "", AppProtocol.Unknown, null)] };
        var filters = Inbound(envoy, policies)[0].ListenerFilters;
        Assert.Equal((8080, 8081), (filters[1].FilterDisabled.DestinationPortRange.Start, filters[1].FilterDisabled.DestinationPortRange.End));
        Assert.Equal(8080, filters[2].FilterDisabled.DestinationPortRange.Start);
        Assert.Null(Inbound(Node, policies)[0].ListenerFilters[1].FilterDisabled);
    }

    [Fact]
    public void Without_an_identity_plaintext_passes_and_strict_ports_take_nothing()
    {
        var nobody = Node with { Identity = null };
        Assert.Equal("http() tcp() itself()", string.Join(' ', Inbound(nobody, "")[0].FilterChains.Select(Describe)));
        Assert.Equal("no-identity!() no-identity!() itself()", string.Join(' ', Inbound(nobody, PeerAuthentication("m", "mtls: {mode: STRICT}"))[0].FilterChains.Select(Describe)));
    }

    private static Listener[] Inbound(NodeDescription node, string policies)
    {
        var config = Of(policies).For(node);
        return [config.Listeners.Get<Listener>("inbound"), config.Listeners.Get<Listener>("inbound6")];
    }

    // name, ! where a network RBAC filter stands first, and the match but for the port
    private static string Describe(FilterChain chain)
    {
        var match = chain.FilterChainMatch ?? new FilterChainMatch();
        var guarded = chain.Filters[0].Name.StartsWith("envoy.filters.network.rbac", StringComparison.Ordinal) ? "!" : "";
        return $"{chain.Name.Split('|')[^1]}{guarded}({string.Join(' ', [match.TransportProtocol, .. match.ApplicationProtocols])})";
    }
}
