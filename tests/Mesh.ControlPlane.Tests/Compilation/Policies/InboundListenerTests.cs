using Envoy.Config.Listener.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Envoy.Extensions.TransportSockets.Tls.V3;
using Mesh.ControlPlane.Compilation;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Model.Policies;
using Mesh.ControlPlane.Tests.Model;
using static Mesh.ControlPlane.Tests.Model.Policies.PolicyWorld;

namespace Mesh.ControlPlane.Tests.Compilation.Policies;

/// <summary>The chains of an inbound listener: by protocol, by mode, by what the policies look at.</summary>
public sealed class InboundListenerTests
{
    private const string Strict = "STRICT";
    private const string Layer7 = "action: DENY, rules: [{to: [{operation: {paths: [/admin]}}]}]";
    private const string Layer4 = "action: DENY, rules: [{from: [{source: {namespaces: [evil]}}]}]";
    private const string OtherPort = "action: DENY, rules: [{to: [{operation: {paths: [/admin], ports: [\"9999\"]}}]}]";
    private const string Mutual = "mtls-http1(tls istio-http/1.1) mtls-http2(tls istio-h2)";
    private const string AnyMutual = "mtls-http1(tls istio-http/1.1 http/1.1) mtls-http2(tls istio-h2 h2)";
    private const string AnyMutualHttp = AnyMutual + " mtls-http-bytes(tls istio) mtls-http(tls)";

    public static TheoryData<AppProtocol, string, bool, string, string> Chains() => new()
    {
        // protocol, mode, node has an identity, policy, chains with their matches; * is the default chain
        { AppProtocol.Http, "PERMISSIVE", false, "", "http()" },
        { AppProtocol.Tcp, "PERMISSIVE", false, "", "tcp()" },
        { AppProtocol.Unknown, "PERMISSIVE", false, "", "http( http/1.0 http/1.1 h2c) *tcp()" },
        { AppProtocol.Unknown, "PERMISSIVE", false, Layer4, "http( http/1.0 http/1.1 h2c) *tcp()" },
        { AppProtocol.Unknown, "PERMISSIVE", false, Layer7, "http()" },
        { AppProtocol.Http, "DISABLE", true, "", "http()" },
        { AppProtocol.Unknown, "DISABLE", true, "", "http( http/1.0 http/1.1 h2c) *tcp()" },
        { AppProtocol.Http, "PERMISSIVE", true, "", AnyMutualHttp + " http(raw_buffer)" },
        { AppProtocol.Grpc, "PERMISSIVE", true, "", AnyMutualHttp + " http(raw_buffer)" },
        { AppProtocol.Unknown, "PERMISSIVE", true, "", Mutual + " mtls-tcp(tls istio) http(raw_buffer http/1.0 http/1.1 h2c) tcp(raw_buffer) tls-opaque(tls)" },
        { AppProtocol.Unknown, "PERMISSIVE", true, Layer4, Mutual + " mtls-tcp(tls istio) http(raw_buffer http/1.0 http/1.1 h2c) tcp(raw_buffer) tls-opaque(tls)" },
        { AppProtocol.Unknown, "PERMISSIVE", true, OtherPort, Mutual + " mtls-tcp(tls istio) http(raw_buffer http/1.0 http/1.1 h2c) tcp(raw_buffer) tls-opaque(tls)" },
        { AppProtocol.Unknown, "PERMISSIVE", true, Layer7, AnyMutualHttp + " http(raw_buffer)" },
        { AppProtocol.Tcp, "PERMISSIVE", true, "", "mtls-tcp(tls istio istio-http/1.1 istio-h2) tcp(raw_buffer) tls-opaque(tls)" },
        { AppProtocol.Tcp, "PERMISSIVE", true, Layer7, "mtls-tcp(tls istio istio-http/1.1 istio-h2) tcp(raw_buffer) tls-opaque(tls)" },
        { AppProtocol.Http, Strict, true, "", AnyMutualHttp },
        { AppProtocol.Unknown, Strict, true, "", AnyMutual + " mtls-tcp(tls)" },
        { AppProtocol.Unknown, Strict, true, Layer7, AnyMutualHttp },
        { AppProtocol.Tcp, Strict, true, "", "mtls-tcp(tls)" },
        { AppProtocol.Http, Strict, false, "", "no-identity()" },
        { AppProtocol.Tcp, Strict, false, "", "no-identity()" },
    };

    [Theory]
    [MemberData(nameof(Chains))]
    public void Chains_of(AppProtocol protocol, string mode, bool identity, string policy, string expected)
    {
        var listener = Inbound(protocol, identity, PeerAuthentication("m", $"mtls: {{mode: {mode}}}") + (policy.Length > 0 ? Authorization("a", policy) : ""));
        var chains = listener.FilterChains.Select(Describe);
        if (listener.DefaultFilterChain is { } last) chains = chains.Append("*" + Describe(last));
        Assert.Equal(expected, string.Join(' ', chains));
        Assert.All(listener.FilterChains, chain => Assert.Equal(chain.Name.StartsWith("mtls", StringComparison.Ordinal), chain.TransportSocket is not null));
        Assert.Equal(mode != Strict && listener.ListenerFilters.Count > 0, listener.ContinueOnListenerFiltersTimeout);
    }

    [Fact]
    public void Mutual_TLS_is_1_3_with_a_client_certificate_of_the_trust_domain_and_no_key_from_here()
    {
        var listener = Inbound(AppProtocol.Http, true, "");
        var context = listener.FilterChains[0].TransportSocket.TypedConfig.Unpack<DownstreamTlsContext>();
        Assert.True(context.RequireClientCertificate);
        var common = context.CommonTlsContext;
        Assert.Equal((TlsParameters.Types.TlsProtocol.Tlsv13, TlsParameters.Types.TlsProtocol.Tlsv13), (common.TlsParams.TlsMinimumProtocolVersion, common.TlsParams.TlsMaximumProtocolVersion));
        Assert.Empty(common.TlsCertificates);
        Assert.Equal("default", Assert.Single(common.TlsCertificateSdsSecretConfigs).Name);
        Assert.Equal("sds-grpc", common.TlsCertificateSdsSecretConfigs[0].SdsConfig.ApiConfigSource.GrpcServices[0].EnvoyGrpc.ClusterName);
        Assert.Equal("ROOTCA", common.CombinedValidationContext.ValidationContextSdsSecretConfig.Name);
        var peer = Assert.Single(common.CombinedValidationContext.DefaultValidationContext.MatchTypedSubjectAltNames);
        Assert.Equal((SubjectAltNameMatcher.Types.SanType.Uri, "spiffe://cluster.local/"), (peer.SanType, peer.Matcher.Prefix));
        Assert.Equal(["istio-http/1.1", "http/1.1"], common.AlpnProtocols);
    }

    [Fact]
    public void Filters_stand_in_order_before_router_and_proxy_and_say_where_they_were_written()
    {
        var rules = Authorization("z-allow", "rules: [{from: [{source: {namespaces: [shop]}}]}]") + Authorization("a-audit", "action: AUDIT, rules: [{}]")
            + Authorization("m-deny", "action: DENY, rules: [{from: [{source: {namespaces: [evil]}}]}]") + Authorization("nothing", "", "mesh-system");
        var listener = Inbound(AppProtocol.Unknown, true, rules);
        string[] order = ["deny", "allow", "audit"];
        Assert.Equal([.. order.Select(name => "envoy.filters.http.rbac." + name), "envoy.filters.http.router"], Http(listener, "mtls-http1").HttpFilters.Select(filter => filter.Name));
        Assert.Equal([.. order.Select(name => "envoy.filters.network.rbac." + name), "envoy.filters.network.tcp_proxy"],
            listener.FilterChains.Single(chain => chain.Name == "tcp").Filters.Select(filter => filter.Name));
        Assert.Equal(
            "ns[mesh-system]-policy[nothing]=r.yaml:16, ns[shop]-policy[a-audit]-rule[0]=r.yaml:9, ns[shop]-policy[m-deny]-rule[0]=r.yaml:14, ns[shop]-policy[z-allow]-rule[0]=r.yaml:4",
            string.Join(", ", listener.Metadata.FilterMetadata["mesh.policies"].Fields.Select(field => $"{field.Key}={field.Value.StringValue}")));
    }

    [Theory]
    [InlineData("policy.mesh/tells-client: \"true\"", true)]
    [InlineData("policy.mesh/tells-client: \"false\"", false)]
    [InlineData("policy.mesh/tells-client: \"true\", istio.io/dry-run: \"true\"", false)]
    public void Clients_are_told_which_policy_refused_them_only_where_one_says_so(string annotations, bool told)
    {
        var rules = Authorization("deny", "action: DENY, rules: [{}]").Replace("namespace: shop}", $"namespace: shop, annotations: {{{annotations}}}}}", StringComparison.Ordinal);
        var listener = Inbound(AppProtocol.Http, true, rules);
        Assert.Equal(told, listener.Metadata.FilterMetadata.TryGetValue("mesh.authz", out var authz) && authz.Fields["denied_by_header"].BoolValue);
    }

    [Fact]
    public void Only_mutual_TLS_sets_the_client_certificate_header()
    {
        var listener = Inbound(AppProtocol.Http, true, "");
        Assert.Equal(HttpConnectionManager.Types.ForwardClientCertDetails.SanitizeSet, Http(listener, "mtls-http1").ForwardClientCertDetails);
        Assert.Equal(HttpConnectionManager.Types.ForwardClientCertDetails.Sanitize, Http(listener, "http").ForwardClientCertDetails);
    }

    [Fact]
    public void Envoy_is_told_to_make_paths_canonical_where_a_rule_looks_at_them()
    {
        var world = Of(Authorization("a", Layer7));
        var listener = Compile(world, Node(AppProtocol.Http, true) with { UserAgent = "envoy 1.40" });
        Assert.True(Http(listener, "http").NormalizePath);
        Assert.Equal(HttpConnectionManager.Types.PathWithEscapedSlashesAction.RejectRequest, Http(listener, "http").PathWithEscapedSlashesAction);
        Assert.False(Http(Compile(world, Node(AppProtocol.Http, true)), "http").NormalizePath);
    }

    [Fact]
    public void A_change_of_endpoints_compiles_no_policy_again()
    {
        var rules = Authorization("a", Layer7);
        var node = Node(AppProtocol.Http, true);
        var first = Of(rules, Proved("cart-1", "shop/cart"));
        var compiled = CompiledWorld.From(first, null);
        var listeners = compiled.For(node).Listeners;
        var next = CompiledWorld.From(Next(first, Trust.None, rules, Proved("cart-1", "shop/cart"), Proved("cart-2", "shop/cart")), compiled);
        Assert.Same(listeners, next.For(node).Listeners);
        Assert.Same(compiled.Policies, next.Policies);
    }

    private static Listener Inbound(AppProtocol protocol, bool identity, string rules) => Compile(Of(rules), Node(protocol, identity));

    private static Listener Compile(World world, NodeDescription node) => world.For(node).Listeners.Get<Listener>("inbound|8080");

    private static NodeDescription Node(AppProtocol protocol, bool identity) => new()
    {
        Id = "sidecar~10.0.0.1~cart-1~shop",
        Service = "cart",
        Namespace = "shop",
        UserAgent = "mesh-sidecar 1",
        Labels = Given.Workload("cart-1", "shop/cart").Labels,
        Identity = identity ? Prefix + "shop/sa/cart" : null,
        Ports = [new NodePort(8080, "", protocol, new HostPort("0.0.0.0", 41000))],
    };

    private static HttpConnectionManager Http(Listener listener, string chain) =>
        listener.FilterChains.Single(candidate => candidate.Name == chain).Filters[^1].TypedConfig.Unpack<HttpConnectionManager>();

    private static string Describe(FilterChain chain) => chain.FilterChainMatch is { } match
        ? $"{chain.Name}({string.Join(' ', match.ApplicationProtocols.Prepend(match.TransportProtocol))})"
        : chain.Name + "()";
}
