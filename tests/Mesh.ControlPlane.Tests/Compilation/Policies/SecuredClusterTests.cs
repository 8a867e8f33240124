using Envoy.Config.Cluster.V3;
using Envoy.Config.Endpoint.V3;
using Envoy.Extensions.TransportSockets.Tls.V3;
using Mesh.ControlPlane.Compilation;
using Mesh.ControlPlane.Model.Policies;
using static Mesh.ControlPlane.Tests.Model.Policies.PolicyWorld;

namespace Mesh.ControlPlane.Tests.Compilation.Policies;

/// <summary>What clients are told of mutual TLS: whom to expect, where, and never less than that.</summary>
public sealed class SecuredClusterTests
{
    private const string Cart = "outbound|8080||cart.shop.svc.cluster.local";
    private static readonly NodeDescription Web = Compiled.Node("web", "shop") with { Identity = Prefix + "shop/sa/web" };

    [Theory]
    [InlineData("8080:http", "istio-http/1.1")]
    [InlineData("8080:grpc", "istio-h2")]
    [InlineData("8080:tcp", "istio")]
    [InlineData("8080", "istio")]
    public void A_cluster_expects_the_serving_identities(string port, string alpn)
    {
        var trust = Trust.None with { Grants = [new Grant(Prefix + "shop/sa/blue", [new("shop", "cart")], []), new Grant(Prefix + "shop/sa/green", [new("shop", "cart")], [])] };
        var cluster = Of(trust, "", Proved("cart-1", "shop/cart", port, "blue")).For(Web).Clusters.Get<Cluster>(Cart);
        Assert.Equal(["tlsMode-istio {\"tlsMode\":\"istio\"} envoy.transport_sockets.tls", "tlsMode-disabled {} envoy.transport_sockets.raw_buffer"],
            cluster.TransportSocketMatches.Select(match => $"{match.Name} {match.Match.ToString().Replace(" ", "", StringComparison.Ordinal)} {match.TransportSocket.Name}"));
        var context = cluster.TransportSocketMatches[0].TransportSocket.TypedConfig.Unpack<UpstreamTlsContext>();
        Assert.Equal("outbound_.8080_._.cart.shop.svc.cluster.local", context.Sni);
        Assert.Equal([alpn], context.CommonTlsContext.AlpnProtocols);
        Assert.Equal([$"Uri {Prefix}shop/sa/blue", $"Uri {Prefix}shop/sa/green"],
            context.CommonTlsContext.CombinedValidationContext.DefaultValidationContext.MatchTypedSubjectAltNames.Select(name => $"{name.SanType} {name.Matcher.Exact}"));
    }

    [Fact]
    public void A_node_without_identity_gets_what_it_always_got()
    {
        var plain = Web with { Identity = null };
        var config = Of("", Proved("cart-1", "shop/cart")).For(plain);
        Assert.Empty(config.Clusters.Get<Cluster>(Cart).TransportSocketMatches);
        Assert.Empty(config.Secrets.Items);
        Assert.Empty(config.Revocations.Items);
    }

    [Theory]
    [InlineData("", true)]
    [InlineData("mtls: {mode: STRICT}", true)]
    [InlineData("mtls: {mode: DISABLE}", false)]
    [InlineData("selector: {matchLabels: {app: cart}}, portLevelMtls: {8080: {mode: DISABLE}}", false)]
    [InlineData("selector: {matchLabels: {app: cart}}, portLevelMtls: {9090: {mode: DISABLE}}", true)]
    public void An_endpoint_is_called_as_its_listener_takes_it(string mode, bool tls)
    {
        var world = Of(mode.Length == 0 ? "" : PeerAuthentication("a", mode), Proved("cart-1", "shop/cart"));
        var endpoint = world.For(Web).Endpoints.Get<ClusterLoadAssignment>(Cart).Endpoints[0].LbEndpoints[0];
        Assert.Equal(tls, endpoint.Metadata.FilterMetadata.TryGetValue("envoy.transport_socket_match", out var match) && match.Fields["tlsMode"].StringValue == "istio");
    }

    [Fact]
    public void A_changed_mode_or_identity_changes_what_depends_on_it_and_nothing_else()
    {
        var instances = new[] { Proved("cart-1", "shop/cart"), Proved("db-1", "shop/db", "5432:tcp") };
        var first = Of("", instances);
        var compiled = CompiledWorld.From(first, null);
        var before = compiled.For(Web);

        var mode = PeerAuthentication("a", "selector: {matchLabels: {app: cart}}, mtls: {mode: DISABLE}");
        var second = Next(first, Trust.None, mode, instances);
        compiled = CompiledWorld.From(second, compiled);
        var after = compiled.For(Web);
        Assert.Same(before.Clusters, after.Clusters);
        Assert.Equal([Cart], Changed(before.Endpoints, after.Endpoints));

        var third = Next(second, Trust.None, mode + ServiceIdentity("db", "service: {name: db}, identities: [shop/db, shop/backup]"), instances);
        var last = CompiledWorld.From(third, compiled).For(Web);
        Assert.Same(after.Endpoints, last.Endpoints);
        Assert.Equal(["outbound|5432||db.shop.svc.cluster.local"], Changed(after.Clusters, last.Clusters));
    }

    [Fact]
    public void A_gRPC_client_with_certificates_cannot_be_talked_out_of_TLS()
    {
        var client = Compiled.GrpcNode("shop") with { HasCertificates = true };
        var mixed = Of("", Proved("cart-1", "shop/cart", "8080:grpc"), Plain("cart-2", "shop/cart", "8080:grpc")).For(client);
        var context = mixed.Clusters.Get<Cluster>(Cart).TransportSocket.TypedConfig.Unpack<UpstreamTlsContext>().CommonTlsContext;
        Assert.Equal(("default", "default"), (context.TlsCertificateProviderInstance.InstanceName, context.ValidationContext.CaCertificateProviderInstance.InstanceName));
        Assert.Equal([Prefix + "shop/sa/cart"], context.ValidationContext.MatchSubjectAltNames.Select(name => name.Exact));
        Assert.Null(context.TlsParams);
        Assert.Equal(["cart-1"], mixed.Endpoints.Get<ClusterLoadAssignment>(Cart).Endpoints[0].LbEndpoints.Select(endpoint => endpoint.Metadata.FilterMetadata["mesh.workload"].Fields["id"].StringValue));

        Assert.Null(Of("", Plain("cart-2", "shop/cart", "8080:grpc")).For(client).Clusters.Get<Cluster>(Cart).TransportSocket);
        Assert.Null(Of("", Proved("cart-1", "shop/cart", "8080:grpc")).For(Compiled.GrpcNode("shop")).Clusters.Get<Cluster>(Cart).TransportSocket);
        var required = Of(ServiceIdentity("c", "service: {name: cart}, identities: [shop/cart], mode: required"), Plain("cart-2", "shop/cart", "8080:grpc")).For(client);
        Assert.NotNull(required.Clusters.Get<Cluster>(Cart).TransportSocket);
        Assert.Empty(required.Endpoints.Get<ClusterLoadAssignment>(Cart).Endpoints);
    }

    private static string[] Changed(ResourceSet before, ResourceSet after) =>
        [.. after.Items.Where(item => !before.TryGet(item.Name, out var old) || old.Version != item.Version).Select(item => item.Name)];
}
