using Mesh.Sidecar.Config.Builders;
using Mesh.Sidecar.Tests.Testbed;
using Mesh.Sidecar.Xds;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests.Xds;

/// <summary>Mutual TLS from a file of resources, with certificates from files: a hop pair without a control plane.</summary>
public sealed class StaticTlsTests : IDisposable
{
    private readonly TemporaryFolder folder = new();
    private readonly Authority authority = new();

    public StaticTlsTests()
    {
        var leaf = authority.Leaf(Authority.Web);
        File.WriteAllText(In("chain.pem"), authority.ChainPem(leaf));
        File.WriteAllText(In("key.pem"), leaf.KeyPem);
        File.WriteAllText(In("root.pem"), authority.RootPem);
    }

    public void Dispose() => folder.Dispose();

    [Fact]
    public void ClustersAndListenersTakeTheirCertificatesFromFiles()
    {
        var errors = new ConfigErrors { OfFile = true };
        var set = StaticFile.Parse("pair.yaml", Text(), errors);
        Assert.Empty(errors.Texts);
        var snapshot = new Linker().Link(set);
        var tls = snapshot.Clusters.Single(c => c.Name == "cart").Endpoints[0].Tls!;
        Assert.Equal(Authority.Cart, Assert.Single(tls.Expected.Exact));
        Assert.Equal(Authority.Web, tls.TermsNow(new())!.Credentials.Svid.Id.ToString());
        var chain = snapshot.Listeners.Single(l => l!.Name == "inbound")!.Chains[0];
        Assert.Equal("istio-http/1.1", Assert.Single(chain.Tls!.Protocols));
        Assert.Equal(Authority.Web, chain.Tls.CredentialsNow(new())!.Svid.Id.ToString());
    }

    [Fact]
    public void AControlPlaneMayNeitherSendKeysNorNameFiles()
    {
        var errors = new ConfigErrors();
        StaticFile.Parse("pair.yaml", Text(), errors);
        Assert.Contains(errors.Texts, e => e.Contains("private keys are not taken from a control plane", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("key.pem", "other.pem", "cannot be read")]
    [InlineData("exact: spiffe://cluster.local/ns/shop/sa/cart", "exact: spiffe://Cluster.local/x", "upper-case")]
    [InlineData("exact: spiffe://cluster.local/ns/shop/sa/cart", "prefix: spiffe://cluster.local/ns/sh", "end with a slash")]
    [InlineData("exact: spiffe://cluster.local/ns/shop/sa/cart", "safe_regex: { regex: '.*' }", "must be exact or prefix")]
    [InlineData("san_type: URI", "san_type: DNS", "must be URI")]
    [InlineData("require_client_certificate: true", "require_client_certificate: false", "must be true")]
    [InlineData("TLSv1_3", "TLSv1_2", "TLS 1.3 and nothing older")]
    [InlineData("sni: cart", "sni: cart, session_stateless: true", "session_stateless")]
    public void WhatWouldWeakenItIsRefused(string part, string by, string error)
    {
        var errors = new ConfigErrors { OfFile = true };
        var text = Text();
        Assert.Contains(part, text, StringComparison.Ordinal);
        StaticFile.Parse("pair.yaml", text.Replace(part, by, StringComparison.Ordinal), errors);
        Assert.Contains(errors.Texts, e => e.Contains(error, StringComparison.Ordinal));
    }

    private string In(string name) => Path.Combine(folder.Path, name);

    private string Text()
    {
        var certificates = $"tls_params: {{ tls_minimum_protocol_version: TLSv1_3 }}, alpn_protocols: [istio-http/1.1], "
            + $"tls_certificates: [ {{ certificate_chain: {{ filename: {In("chain.pem")} }}, private_key: {{ filename: {In("key.pem")} }} }} ], "
            + $"validation_context: {{ trusted_ca: {{ filename: {In("root.pem")} }}";
        return $$"""
            static_resources:
              clusters:
              - name: cart
                type: STATIC
                load_assignment: { cluster_name: cart, endpoints: [ { lb_endpoints: [ { endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 4000 } } } } ] } ] }
                transport_socket:
                  name: envoy.transport_sockets.tls
                  typed_config: { "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, sni: cart, common_tls_context: { {{certificates}},
                    match_typed_subject_alt_names: [ { san_type: URI, matcher: { exact: spiffe://cluster.local/ns/shop/sa/cart } } ] } } }
              listeners:
              - name: inbound
                traffic_direction: INBOUND
                address: { socket_address: { address: 127.0.0.1, port_value: 4000 } }
                listener_filters: [ { name: tls, typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector } } ]
                filter_chains:
                - filter_chain_match: { transport_protocol: tls, application_protocols: ["istio-http/1.1"] }
                  transport_socket:
                    name: envoy.transport_sockets.tls
                    typed_config: { "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, require_client_certificate: true, common_tls_context: { {{certificates}} } } }
                  filters:
                  - name: tcp
                    typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, cluster: cart, stat_prefix: x }
            """;
    }
}
