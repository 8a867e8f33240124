using System.Text.Json;
using Envoy.Config.Cluster.V3;
using Envoy.Config.Endpoint.V3;
using Envoy.Extensions.TransportSockets.Tls.V3;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Model.Policies;
using Mesh.ControlPlane.Sources.Consul;
using Mesh.ControlPlane.Tests.Compilation;
using Mesh.ControlPlane.Tests.Model.Policies;

namespace Mesh.ControlPlane.Tests.Sources.Consul;

/// <summary>
/// What somebody who may write to Consul can and cannot do, as SECURITY.md says: entries forged by hand, up to what a client's sidecar is told.
/// </summary>
public sealed class ForgedEntryTests
{
    private const string Ours = "\"external-source\":\"mesh\",\"mesh-namespace\":\"shop\",\"mesh-ports\":\"http:8080:http:41000\"";
    private const string Cart = "spiffe://cluster.local/ns/shop/sa/cart";
    private const string Thief = "spiffe://cluster.local/ns/shop/sa/thief";
    private static readonly string Required = PolicyWorld.ServiceIdentity("cart", "service: {name: cart}, identities: [shop/cart], mode: required");

    public static TheoryData<string, string, string, string> Forged() => new()
    {
        // what, metadata of the forged entry, rules, how a client's sidecar is told to call it
        { "another workload's identity", $"{{{Ours},\"mesh-identity\":\"{Thief}\"}}", "", "not at all" },
        { "the service's identity, which the writer cannot prove", $"{{{Ours},\"mesh-identity\":\"{Cart}\"}}", "", "mutual TLS" },
        { "no identity", $"{{{Ours}}}", "", "plain" },
        { "no identity, where one is required", $"{{{Ours}}}", Required, "not at all" },
        { "an entry that is none of the mesh's", "{\"mesh-namespace\":\"shop\"}", "", "plain" },
        { "an entry that is none of the mesh's, where an identity is required", "{\"mesh-namespace\":\"shop\"}", Required, "not at all" },
        { "a foreign entry that claims an identity", $"{{\"mesh-namespace\":\"shop\",\"mesh-identity\":\"{Cart}\"}}", Required, "mutual TLS" },
        { "an identity that is none", $"{{{Ours},\"mesh-identity\":\"spiffe://cluster.local/ns/shop/sa/cart/../thief\"}}", "", "not at all" },
        { "the service's name in another trust domain", $"{{{Ours},\"mesh-identity\":\"spiffe://evil.example/ns/shop/sa/cart\"}}", "", "not at all" },
    };

    [Theory]
    [MemberData(nameof(Forged))]
    public void A_client_is_told(string what, string meta, string rules, string expected)
    {
        Assert.NotEmpty(what);
        var world = PolicyWorld.Of(rules, [PolicyWorld.Proved("cart-1", "shop/cart"), .. Entries("forged-1", meta)]);
        var config = world.For(Compiled.Node("web", "shop") with { Identity = "spiffe://cluster.local/ns/shop/sa/web" });
        var cluster = config.Clusters.Items.Single(item => item.Name.StartsWith("outbound|", StringComparison.Ordinal)).Body.Unpack<Cluster>();
        var endpoints = config.Endpoints.Get<ClusterLoadAssignment>(cluster.Name).Endpoints.SelectMany(locality => locality.LbEndpoints).ToArray();
        var forged = endpoints.SingleOrDefault(endpoint => endpoint.Endpoint.Address.SocketAddress.Address == "10.66.6.6");
        Assert.Equal(expected, forged is null ? "not at all" : forged.Metadata.FilterMetadata.ContainsKey("envoy.transport_socket_match") ? "mutual TLS" : "plain");

        // The true endpoint is called as ever, and whoever is called under TLS must prove the service's identity and no other.
        Assert.Contains(endpoints, endpoint => endpoint.Metadata.FilterMetadata["mesh.workload"].Fields["id"].StringValue == "cart-1");
        Assert.Equal([Cart], Expected(cluster));
    }

    [Fact]
    public void An_entry_under_the_id_of_a_registered_workload_is_not_believed()
    {
        var store = new WorldStore();
        store.SetInstances(SourceOrder.Consul, [.. Entries("cart-1", $"{{{Ours}}}")]);
        store.SetInstances(SourceOrder.Workloads, [PolicyWorld.Proved("cart-1", "shop/cart")]);
        var endpoint = Assert.Single(store.Current.Services[new ServiceName("shop", "cart")].Ports[0].Endpoints);
        Assert.Equal((Cart, true), (endpoint.Instance.Identity, endpoint.TakesTls(PolicySet.Empty)));
        Assert.NotEqual("10.66.6.6", endpoint.Address);
    }

    private static Instance[] Entries(string id, string meta)
    {
        var json = $$"""[{"Node":{"Node":"n","Address":"10.66.6.6"},"Service":{"ID":"{{id}}","Service":"cart","Address":"10.66.6.6","Port":8080,"Meta":{{meta}} },"Checks":[]}]""";
        return [.. EntryMapping.Map("cart", JsonSerializer.Deserialize(json, ConsulJson.Default.HealthEntryArray)).Entries.Select(entry => entry.Instance)];
    }

    private static string[] Expected(Cluster cluster) =>
    [
        .. cluster.TransportSocketMatches[0].TransportSocket.TypedConfig.Unpack<UpstreamTlsContext>()
            .CommonTlsContext.CombinedValidationContext.DefaultValidationContext.MatchTypedSubjectAltNames.Select(name => name.Matcher.Exact),
    ];
}
