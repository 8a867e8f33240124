using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Model.Policies;
using static Mesh.ControlPlane.Tests.Model.Policies.PolicyWorld;

namespace Mesh.ControlPlane.Tests.Model.Policies;

/// <summary>Which policies hold for a workload, and what is said about those that hold for none.</summary>
public sealed class PolicySetTests
{
    private static readonly WorkloadTraits Cart = WorkloadTraits.Of(Given.Workload("cart-1", "shop/cart", "8080:http"));

    public static TheoryData<string, string, int, TlsMode> Modes() => new()
    {
        { "nobody says anything", "", 8080, TlsMode.Permissive },
        { "the mesh", PeerAuthentication("all", "mtls: {mode: STRICT}", "mesh-system"), 8080, TlsMode.Strict },
        { "the namespace before the mesh", PeerAuthentication("all", "mtls: {mode: STRICT}", "mesh-system") + PeerAuthentication("ns", "mtls: {mode: DISABLE}"), 8080, TlsMode.Disable },
        { "the workload before the namespace", PeerAuthentication("ns", "mtls: {mode: DISABLE}") + PeerAuthentication("own", "selector: {matchLabels: {app: cart}}, mtls: {mode: STRICT}"), 8080, TlsMode.Strict },
        { "the port before the workload", PeerAuthentication("own", "selector: {matchLabels: {app: cart}}, mtls: {mode: STRICT}, portLevelMtls: {8080: {mode: PERMISSIVE}}"), 8080, TlsMode.Permissive },
        { "another port", PeerAuthentication("own", "selector: {matchLabels: {app: cart}}, mtls: {mode: STRICT}, portLevelMtls: {8080: {mode: PERMISSIVE}}"), 9090, TlsMode.Strict },
        { "UNSET leaves it to the namespace", PeerAuthentication("ns", "mtls: {mode: STRICT}") + PeerAuthentication("own", "selector: {matchLabels: {app: cart}}, mtls: {mode: UNSET}"), 8080, TlsMode.Strict },
        { "UNSET port leaves it to the workload", PeerAuthentication("own", "selector: {matchLabels: {app: cart}}, mtls: {mode: STRICT}, portLevelMtls: {8080: {mode: UNSET}}"), 8080, TlsMode.Strict },
        { "a namespace without mode leaves it to the mesh", PeerAuthentication("all", "mtls: {mode: STRICT}", "mesh-system") + PeerAuthentication("ns", ""), 8080, TlsMode.Strict },
        { "another workload's", PeerAuthentication("own", "selector: {matchLabels: {app: web}}, mtls: {mode: STRICT}"), 8080, TlsMode.Permissive },
        { "another namespace's", PeerAuthentication("ns", "mtls: {mode: STRICT}", "other"), 8080, TlsMode.Permissive },
        { "of two the first by name", PeerAuthentication("b", "mtls: {mode: DISABLE}") + PeerAuthentication("a", "mtls: {mode: STRICT}"), 8080, TlsMode.Strict },
    };

    [Theory]
    [MemberData(nameof(Modes))]
    public void Mode_of_a_port(string what, string rules, int port, TlsMode expected)
    {
        Assert.NotEmpty(what);
        Assert.Equal(expected, Of(rules).Policies.ModeOf(Cart, port));
    }

    [Theory]
    [InlineData("", "shop", true)]
    [InlineData("", "mesh-system", true)]
    [InlineData("", "other", false)]
    [InlineData("selector: {matchLabels: {app: cart}}", "shop", true)]
    [InlineData("selector: {matchLabels: {app: cart}}", "mesh-system", true)]
    [InlineData("selector: {matchLabels: {app: cart, version: v2}}", "shop", false)]
    [InlineData("selector: {matchLabels: {app: web}}", "shop", false)]
    [InlineData("targetRefs: [{kind: Service, name: cart}]", "shop", true)]
    [InlineData("targetRefs: [{kind: Service, name: front}]", "shop", true)]
    [InlineData("targetRefs: [{kind: Service, name: web}]", "shop", false)]
    [InlineData("targetRefs: [{kind: Service, name: web}, {kind: Service, name: cart}]", "shop", true)]
    [InlineData("targetRefs: [{kind: Service, name: cart}]", "other", false)]
    public void A_policy_holds_for(string spec, string ns, bool holds)
    {
        const string front = """
            apiVersion: v1
            kind: Service
            metadata: {name: front, namespace: shop}
            spec: {selector: {app: cart}, ports: [{port: 80, targetPort: 8080}]}
            ---

            """;
        Assert.Equal(holds, Of(front + Authorization("a", spec, ns)).Policies.AuthorizationOf(Cart).Any());
    }

    public static TheoryData<string, string> Notices() => new()
    {
        { Authorization("a", "selector: {matchLabels: {app: crat}}"), "AuthorizationPolicy shop/a has no effect: no workload in namespace shop carries the labels app=crat" },
        { Authorization("a", "selector: {matchLabels: {app: cart}}", "other"), "AuthorizationPolicy other/a has no effect: no workload in namespace other carries the labels app=cart" },
        { PeerAuthentication("a", "selector: {matchLabels: {app: crat}}", "mesh-system"), "PeerAuthentication mesh-system/a has no effect: no workload carries the labels app=crat" },
        { Authorization("a", "targetRefs: [{kind: Service, name: crat}]"), "AuthorizationPolicy shop/a has no effect on shop/crat: there is no such service" },
        { ServiceIdentity("a", "service: {name: crat}, identities: [shop/cart]"), "ServiceIdentity shop/a has no effect: there is no service shop/crat" },
        { ServiceIdentity("a", "service: {name: cart}, identities: [\"spiffe://other/ns/shop/sa/cart\", shop/cart]"), "nobody can prove the identity spiffe://other/ns/shop/sa/cart: the trust domain of the mesh is cluster.local" },
        { Authorization("a", "rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/crat]}}]}]"), "no service, workload or join token has the identity cluster.local/ns/shop/sa/crat: is it spelled right?" },
        { Authorization("a", "rules: [{from: [{source: {serviceAccounts: [crat]}}]}]"), "no service, workload or join token has the identity crat: is it spelled right?" },
        { Authorization("a", "rules: [{from: [{source: {principals: [other.example/ns/shop/sa/cart]}}]}]"), "nobody can prove the identity other.example/ns/shop/sa/cart: the trust domain of the mesh is cluster.local" },
        { Authorization("a", "rules: [{to: [{operation: {ports: [\"80\"]}}]}]"), "no workload that AuthorizationPolicy shop/a selects has the port 80: policies name the application's port, not the service's" },
        { Authorization("a", "action: DENY, rules: [{to: [{operation: {methods: [GET]}}]}]"), "port 5432 of db-1 is declared as tcp: what this DENY rule says about HTTP is left out there, and it denies more" },
        { Authorization("a", "rules: [{to: [{operation: {methods: [GET]}}]}]"), "port 5432 of db-1 is declared as tcp: this rule looks at HTTP and never matches there" },
        { PeerAuthentication("b", "mtls: {mode: STRICT}") + PeerAuthentication("a", "mtls: {mode: STRICT}"), "PeerAuthentication shop/b is ignored: r.yaml:6 holds for the same workloads already" },
        { ServiceIdentity("a", "service: {name: cart}, identities: [shop/cart]") + ServiceIdentity("b", "service: {name: cart}, identities: [shop/db]"), "the identities of ServiceIdentity shop/b are ignored: r.yaml:1 lists those of shop/cart already" },
    };

    [Theory]
    [MemberData(nameof(Notices))]
    public void What_names_nothing_that_exists_is_said_with_its_place(string rules, string notice)
    {
        var world = Of(rules, Proved("cart-1", "shop/cart"), Proved("db-1", "shop/db", "5432:tcp"));
        var found = Assert.Single(world.AllNotices);
        Assert.Equal(notice, found.Text);
        Assert.StartsWith("r.yaml:", found.Source.Location, StringComparison.Ordinal);
    }

    [Fact]
    public void What_names_what_exists_needs_no_word()
    {
        var rules = Authorization("a", "selector: {matchLabels: {app: cart}}, rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/db], namespaces: [nowhere]}}], to: [{operation: {ports: [\"8080\"], methods: [GET]}}]}]")
            + Authorization("deny-all", "", "mesh-system") + PeerAuthentication("all", "mtls: {mode: STRICT}", "mesh-system");
        Assert.Empty(Of(rules, Proved("cart-1", "shop/cart"), Proved("db-1", "shop/db", "5432:tcp")).AllNotices);
    }

    /// <summary>With a thousand policies a look at all of them costs more than all the rest of a change.</summary>
    [Fact]
    public void What_is_odd_is_worked_out_when_somebody_asks()
    {
        var rules = Authorization("a", "selector: {matchLabels: {app: crat}}");
        var first = Of(rules, Proved("cart-1", "shop/cart"));
        var second = Next(first, Trust.None, rules, Proved("cart-1", "shop/cart"), Proved("crat-1", "shop/crat"));
        Assert.False(first.PolicyNotices.IsValueCreated);
        Assert.False(second.PolicyNotices.IsValueCreated);

        // Of the world that was asked, however late, and once.
        Assert.Empty(second.AllNotices);
        Assert.Contains("has no effect", Assert.Single(first.AllNotices).Text, StringComparison.Ordinal);
        Assert.True(first.PolicyNotices.IsValueCreated);

        // What sources add when a world is published takes nothing away.
        var store = new WorldStore();
        store.SetRules(SourceOrder.Files, PolicyWorld.Rules(rules));
        store.SetNotices("a source", [new Notice(new Provenance("a", "b", "c", "d"), "of a source")]);
        Assert.Equal(2, store.Current.AllNotices.Length);
    }
}
