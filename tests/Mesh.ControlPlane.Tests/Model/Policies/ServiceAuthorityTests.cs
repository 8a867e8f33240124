using System.Collections.Immutable;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Model.Policies;
using static Mesh.ControlPlane.Tests.Model.Policies.PolicyWorld;

namespace Mesh.ControlPlane.Tests.Model.Policies;

/// <summary>Who may serve what: rule before grants before the account of the name; and which endpoints clients get by that.</summary>
public sealed class ServiceAuthorityTests
{
    private static readonly ServiceName Cart = new("shop", "cart");

    private static readonly Trust Granted = Trust.None with
    {
        Grants =
        [
            new Grant(Prefix + "shop/sa/cart-blue", [Cart, new ServiceName("shop", "stock")], []),
            new Grant(Prefix + "shop/sa/cart-green", [Cart], ["10.9.9.9"]),
        ],
    };

    private static readonly string Rule = ServiceIdentity("cart", "service: {name: cart}, identities: [shop/till, \"spiffe://cluster.local/ns/old/sa/cart\"]");

    [Fact]
    public void Without_a_word_it_is_the_account_of_the_services_name() =>
        Assert.Equal([Prefix + "shop/sa/cart"], World.Empty.Authority.ServingIdentities(Cart).ToArray());

    [Fact]
    public void Grants_of_join_tokens_come_before_the_name() =>
        Assert.Equal([Prefix + "shop/sa/cart-blue", Prefix + "shop/sa/cart-green"], Of(Granted, "").Authority.ServingIdentities(Cart).ToArray());

    [Fact]
    public void A_rule_comes_before_grants() =>
        Assert.Equal([Prefix + "old/sa/cart", Prefix + "shop/sa/till"], Of(Granted, Rule).Authority.ServingIdentities(Cart).ToArray());

    [Fact]
    public void Short_identities_are_of_the_meshs_trust_domain()
    {
        var authority = Of(Trust.None with { Domain = "prod.example" }, Rule).Authority;
        Assert.Equal([Prefix + "old/sa/cart", "spiffe://prod.example/ns/shop/sa/till"], authority.ServingIdentities(Cart).ToArray());
        Assert.Equal(["spiffe://prod.example/ns/shop/sa/web"], authority.ServingIdentities(new ServiceName("shop", "web")).ToArray());
    }

    [Theory]
    [InlineData("shop/sa/cart", false)]
    [InlineData("shop/sa/cart-blue", true)]
    [InlineData("shop/sa/CART-BLUE", false)]
    [InlineData("shop/sa/cart-blue/", false)]
    [InlineData("shop2/sa/cart-blue", false)]
    public void Identities_are_compared_exactly(string identity, bool may) =>
        Assert.Equal(may, Of(Granted, "").Authority.MayServe(Prefix + identity, Cart));

    [Fact]
    public void What_a_document_selects_is_served_by_those_who_may_serve_that()
    {
        const string canary = """
            apiVersion: v1
            kind: Service
            metadata: {name: cart-canary, namespace: shop}
            spec: {selector: {app: cart, version: v2}, ports: [{port: 80, targetPort: 8080}]}
            """;
        var instance = Proved("cart-1", "shop/cart").Labelled("version", "v2");
        var thief = Proved("thief-1", "shop/thief").Labelled("app", "cart").Labelled("version", "v2");
        var world = Of(canary, instance, thief);
        Assert.Equal([Prefix + "shop/sa/cart", Prefix + "shop/sa/cart-canary"], world.Authority.ServingIdentities(new ServiceName("shop", "cart-canary")).ToArray());

        // Labels are a workload's own words: one that takes those of another's is not an endpoint.
        var endpoint = Assert.Single(world.Services[new ServiceName("shop", "cart-canary")].Ports[0].Endpoints);
        Assert.Equal("cart-1", endpoint.Instance.Id);
        Assert.Contains(world.Notices, notice => notice.Text.StartsWith("instance thief-1 gets no traffic of shop/cart-canary: its identity spiffe://cluster.local/ns/shop/sa/thief may not serve it", StringComparison.Ordinal));
    }

    [Fact]
    public void The_accounts_of_the_pods_a_service_selects_may_serve_it()
    {
        const string documents = """
            apiVersion: v1
            kind: Service
            metadata: {name: cart, namespace: shop}
            spec: {selector: {app: cart}, ports: [{port: 80, targetPort: 8080}]}
            ---
            apiVersion: v1
            kind: Pod
            metadata: {name: cart-a, namespace: shop, labels: {app: cart}}
            spec: {serviceAccountName: checkout}
            status: {podIP: 10.0.0.1, phase: Running}
            ---
            apiVersion: v1
            kind: Pod
            metadata: {name: other, namespace: shop, labels: {app: other}}
            spec: {serviceAccountName: thief}
            status: {podIP: 10.0.0.2, phase: Running}
            ---
            apiVersion: v1
            kind: Pod
            metadata: {name: cart-b, namespace: bank, labels: {app: cart}}
            spec: {serviceAccountName: bank}
            status: {podIP: 10.0.0.3, phase: Running}
            ---

            """;
        Assert.Equal([Prefix + "shop/sa/checkout"], Of(documents).Authority.ServingIdentities(Cart).ToArray());
        Assert.Equal([Prefix + "shop/sa/cart-blue", Prefix + "shop/sa/cart-green", Prefix + "shop/sa/checkout"], Of(Granted, documents).Authority.ServingIdentities(Cart).ToArray());
        Assert.Equal([Prefix + "old/sa/cart", Prefix + "shop/sa/till"], Of(documents + Rule).Authority.ServingIdentities(Cart).ToArray());
    }

    [Fact]
    public void An_endpoint_of_another_identity_gets_no_traffic()
    {
        var forged = Proved("cart-2", "shop/cart", account: "thief");
        var world = Of("", Proved("cart-1", "shop/cart"), forged, Plain("cart-3", "shop/cart"));
        Assert.Equal(["cart-1", "cart-3"], world.Services[Cart].Ports[0].Endpoints.Select(endpoint => endpoint.Instance.Id));
    }

    [Fact]
    public void A_required_service_has_only_endpoints_that_prove_an_identity()
    {
        var rules = ServiceIdentity("cart", "service: {name: cart}, identities: [shop/cart], mode: required")
            + PeerAuthentication("plain", "selector: {matchLabels: {version: old}}, mtls: {mode: DISABLE}");
        var world = Of(rules, Proved("cart-1", "shop/cart"), Plain("cart-2", "shop/cart"), Proved("cart-3", "shop/cart").Labelled("version", "old"));
        Assert.Equal(["cart-1"], world.Services[Cart].Ports[0].Endpoints.Select(endpoint => endpoint.Instance.Id));
        Assert.Contains(world.Notices, notice => notice.Text == "instance cart-2 gets no traffic of shop/cart: the service's ServiceIdentity is in mode required, and the instance has no identity");
        Assert.Contains(world.Notices, notice => notice.Text == "instance cart-3 gets no traffic of shop/cart: the service's ServiceIdentity is in mode required, and a PeerAuthentication disables mutual TLS on its port");
    }

    [Fact]
    public void Nothing_new_keeps_services_and_policies_the_same_objects()
    {
        var instances = new[] { Proved("cart-1", "shop/cart"), Proved("cart-2", "shop/cart", account: "thief") };
        var first = Of(Granted, Rule, instances);
        var second = Next(first, Granted, Rule, instances);
        Assert.Same(first.Policies, second.Policies);
        Assert.Same(first.Services[Cart], second.Services[Cart]);
    }

    [Fact]
    public void The_authority_is_made_anew_when_something_it_is_made_of_changes()
    {
        var rules = ImmutableSortedDictionary<string, RuleSet>.Empty.Add(SourceOrder.Files, PolicyWorld.Rules(Rule));
        var first = Build(World.Empty, rules, Granted);
        Assert.Same(first.Authority, Build(first, rules, Granted).Authority);
        Assert.NotSame(first.Authority, Build(first, rules, Trust.None).Authority);
        Assert.NotSame(first.Authority, Build(first, rules.SetItem(SourceOrder.Files, PolicyWorld.Rules(Rule)), Granted).Authority);
        Assert.NotSame(first.Authority, Build(first, rules.Clear(), Granted).Authority);

        static World Build(World previous, ImmutableSortedDictionary<string, RuleSet> rules, Trust trust) =>
            WorldBuilder.Build(previous, ImmutableSortedDictionary<string, ImmutableArray<Instance>>.Empty, rules, trust);
    }
}
