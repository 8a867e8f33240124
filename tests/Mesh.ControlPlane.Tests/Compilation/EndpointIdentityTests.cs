using Envoy.Config.Endpoint.V3;
using static Mesh.ControlPlane.Tests.Model.Policies.PolicyWorld;

namespace Mesh.ControlPlane.Tests.Compilation;

/// <summary>The identity an endpoint tells: what a connection to exactly this instance expects.</summary>
public sealed class EndpointIdentityTests
{
    [Theory]
    [InlineData("", "cart", "cart")]
    [InlineData("identities: [shop/cart, shop/spare]", "spare", "spare")]
    // Nobody gets a client to expect an identity that may not serve; such an endpoint expects what the service does, or is left out.
    [InlineData("identities: [shop/cart]", "spare", null)]
    public void Only_identities_that_may_serve_are_told(string rule, string account, string? expected)
    {
        var identities = rule.Length == 0 ? "" : ServiceIdentity("cart", $"service: {{name: cart}}, {rule}");
        var assignment = Of(identities, Proved("cart-1", "shop/cart", account: account)).For(Compiled.Node("cart", "shop")).Endpoints
            .Get<ClusterLoadAssignment>("outbound|8080||cart.shop.svc.cluster.local");
        var told = assignment.Endpoints.SelectMany(zone => zone.LbEndpoints).SelectMany(endpoint => endpoint.Metadata.FilterMetadata["mesh.workload"].Fields)
            .Where(field => field.Key == "identity").Select(field => field.Value.StringValue).SingleOrDefault();
        Assert.Equal(expected is null ? null : $"{Prefix}shop/sa/{expected}", told);
    }

    [Fact]
    public void Without_mutual_TLS_there_is_none() =>
        Assert.DoesNotContain("identity", Of(PeerAuthentication("m", "mtls: {mode: DISABLE}"), Proved("cart-1", "shop/cart")).For(Compiled.Node("cart", "shop"))
            .Endpoints.Items.Select(item => item.Body.Unpack<ClusterLoadAssignment>().Endpoints[0].LbEndpoints[0].Metadata.FilterMetadata["mesh.workload"]).Single().Fields.Keys);
}
