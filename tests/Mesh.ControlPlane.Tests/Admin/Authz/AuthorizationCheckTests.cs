using Mesh.Api.Operators;
using Mesh.ControlPlane.Admin.Authz;
using Mesh.ControlPlane.Compilation;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Model.Policies;
using static Mesh.ControlPlane.Tests.Model.Policies.PolicyWorld;

namespace Mesh.ControlPlane.Tests.Admin.Authz;

/// <summary>What <c>authz check</c> answers: the verdict, the rule that decided and its place, contradictions, warnings.</summary>
public sealed class AuthorizationCheckTests
{
    private static readonly string ReadOnly = Authorization("read-only", "selector: {matchLabels: {app: cart}}, rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/web]}}], to: [{operation: {methods: [GET]}}]}]");
    private static readonly string NoAdmin = Authorization("no-admin", "action: DENY, rules: [{to: [{operation: {paths: [/admin*]}}]}]");
    private static readonly string Strict = PeerAuthentication("strict", "mtls: {mode: STRICT}");

    public static TheoryData<string, string, string, string> Cases() => new()
    {
        // rules, question: [caller] service:port [METHOD /path], verdict, deciding policy and place
        { "", "shop/web cart.shop:8080 GET /", "ALLOWED no policy holds there", "" },
        { ReadOnly, "shop/web cart.shop:8080 GET /", "ALLOWED an ALLOW rule matches", "shop/read-only r.yaml:4" },
        { ReadOnly, "shop/web cart:8080 GET /", "ALLOWED an ALLOW rule matches", "shop/read-only r.yaml:4" },
        { ReadOnly, "shop/web cart.shop:8080 POST /", "DENIED no ALLOW rule matches: shop/read-only (r.yaml:1)", "shop/read-only r.yaml:1" },
        { ReadOnly, "- cart.shop:8080 GET /", "DENIED no ALLOW rule matches: shop/read-only (r.yaml:1)", "shop/read-only r.yaml:1" },
        { ReadOnly, "shop/web cart.shop", "DENIED the port speaks HTTP: a connection that does not is refused", "" },
        { ReadOnly, "shop/web db.shop:5432", "ALLOWED no policy holds there", "" },
        { NoAdmin, "shop/web cart.shop:8080 GET /admin/users?x=1", "DENIED a DENY rule matches", "shop/no-admin r.yaml:4" },
        { NoAdmin, "shop/web cart.shop:8080 GET /a/../admin", "DENIED a rule looks at paths, and this one has no single meaning: the path holds a dot segment", "" },
        { NoAdmin, "shop/web cart.shop:8080 GET /%61dmin", "DENIED a DENY rule matches", "shop/no-admin r.yaml:4" },
        { Authorization("seen", "action: AUDIT, rules: [{to: [{operation: {paths: [/admin*]}}]}]"), "shop/web cart.shop:8080 GET /a/../admin", "ALLOWED no DENY rule matches, and there is no ALLOW policy", "" },
        { NoAdmin, "shop/web cart.shop:8080 GET /orders", "ALLOWED no DENY rule matches, and there is no ALLOW policy", "" },
        { NoAdmin, "shop/web db.shop:5432", "DENIED a DENY rule matches", "shop/no-admin r.yaml:4" },
        { NoAdmin, "shop/web raw.shop:7000", "DENIED a rule about HTTP holds on the port, so what is not HTTP is refused", "" },
        { Authorization("trial", "action: DENY, rules: [{}]", dryRun: true), "shop/web cart.shop:8080 GET /", "ALLOWED no policy holds there", "" },
        { Authorization("nothing", "", "mesh-system"), "shop/web cart.shop:8080 GET /", "DENIED no ALLOW rule matches: mesh-system/nothing (r.yaml:1)", "mesh-system/nothing r.yaml:1" },
        { Strict, "- cart.shop:8080 GET /", "DENIED mutual TLS is STRICT, and the caller has no certificate", "shop/strict r.yaml:1" },
        { Strict, "shop/web cart.shop:8080 GET /", "ALLOWED no policy holds there", "" },
        { Strict, "shop/web plain.shop:8080 GET /", "DENIED mutual TLS is STRICT, and the workload has no identity: it lets nothing through", "shop/strict r.yaml:1" },
        { "", "shop/gone cart.shop:8080 GET /", "DENIED the caller's identity is revoked", "" },
        { "", "spiffe://evil.example/ns/shop/sa/web cart.shop:8080 GET /", "DENIED the caller's identity is not of the mesh's trust domain, cluster.local", "" },
        { ReadOnly + PeerAuthentication("off", "mtls: {mode: DISABLE}"), "shop/web cart.shop:8080 GET /", "DENIED no ALLOW rule matches: shop/read-only (r.yaml:1)", "shop/read-only r.yaml:1" },
    };

    [Theory]
    [MemberData(nameof(Cases))]
    public void Verdict_of(string rules, string question, string expected, string decidedBy)
    {
        var verdict = Assert.Single(Ask(WorldOf(rules), Question(question)).Verdicts);
        Assert.Equal(expected, (verdict.Allowed ? "ALLOWED " : "DENIED ") + verdict.Reason);
        Assert.Equal(decidedBy, $"{verdict.Policy} {verdict.Location}".Trim());
    }

    [Fact]
    public void Contradictions_are_shown_with_both_places()
    {
        var answer = Ask(WorldOf(ReadOnly + NoAdmin), Question("shop/web cart.shop:8080 GET /admin"));
        Assert.Contains("shop/no-admin (r.yaml:9) denies what shop/read-only (r.yaml:4) allows: DENY decides", answer.Warnings);
        Assert.Equal(["shop/no-admin DENY True r.yaml:9", "shop/read-only ALLOW True r.yaml:4"],
            answer.Verdicts[0].Steps.Select(step => $"{step.Policy} {step.Action} {step.Matched} {step.Location}"));
    }

    [Fact]
    public void Who_can_answers_for_every_identity_and_for_none()
    {
        var answer = Ask(WorldOf(ReadOnly), Question("- cart.shop:8080 GET /") with { WhoCan = true });
        Assert.Equal([Prefix + "shop/sa/web"], answer.Verdicts.Where(verdict => verdict.Allowed).Select(verdict => verdict.From));
        Assert.Contains(answer.Verdicts, verdict => verdict.From.Length == 0);
        Assert.Contains(answer.Verdicts, verdict => verdict.From == Prefix + "shop/sa/cart");
    }

    [Fact]
    public void What_is_odd_about_the_policies_is_said()
    {
        var answer = Ask(WorldOf(Authorization("typo", "selector: {matchLabels: {app: crat}}")), Question("shop/web cart.shop:8080 GET /"));
        Assert.Contains("r.yaml:1: AuthorizationPolicy shop/typo has no effect: no workload in namespace shop carries the labels app=crat", answer.Warnings);
        Assert.Contains("instance ext-1 has no sidecar: nothing is enforced there", Ask(WorldOf(""), Question("shop/web ext.shop:8080 GET /")).Warnings);
    }

    [Fact]
    public void Workloads_that_differ_are_told_apart()
    {
        var rules = Authorization("v2", "selector: {matchLabels: {version: v2}}, action: DENY, rules: [{}]");
        var world = Of(rules, Proved("cart-1", "shop/cart"), Proved("cart-2", "shop/cart").Labelled("version", "v2"));
        var answer = Ask(world, Question("shop/web cart.shop:8080 GET /"));
        Assert.False(answer.Verdicts[0].Allowed);
        Assert.Contains("the workloads of shop/cart differ: cart-2 refuses it, cart-1 does not", answer.Warnings);
    }

    [Theory]
    [InlineData("- nobody:80 GET /", "there is no service default/nobody")]
    [InlineData("- cart.shop:99999 GET /", "to: 'cart.shop:99999' is not SERVICE:PORT or SERVICE.NAMESPACE:PORT")]
    [InlineData("- a.b.c.d:80 GET /", "there is no service a.b.c.d")]
    [InlineData("- a..d:80 GET /", "to: 'a..d:80' is not SERVICE:PORT or SERVICE.NAMESPACE:PORT")]
    [InlineData("- two.shop:80 GET /", "shop/two has no port 80: it has 8080, 9090")]
    [InlineData("shop/we/b cart.shop:8080 GET /", "from: 'shop/we/b' is not ns/NAMESPACE/sa/ACCOUNT or a SPIFFE ID: a SPIFFE ID starts with 'spiffe://', in lower case")]
    [InlineData("- cart.shop:8080 GET admin", "path: 'admin' does not begin with /")]
    public void A_question_without_meaning_is_refused_in_words(string question, string error)
    {
        Assert.Null(AuthorizationCheck.Answer(CompiledWorld.From(WorldOf(""), null), Question(question), out var said));
        Assert.Equal(error, said);
    }

    private static World WorldOf(string rules)
    {
        var trust = Trust.None with { Revoked = [Prefix + "shop/sa/gone"] };
        var two = Plain("two-1", "shop/two");
        var foreign = Plain("ext-1", "shop/ext") with { Meshed = false };
        return Of(trust, rules,
            Proved("cart-1", "shop/cart"), Proved("db-1", "shop/db", "5432:tcp"), Proved("raw-1", "shop/raw", "7000"), Plain("plain-1", "shop/plain"), foreign,
            two with { Ports = [.. two.Ports, Mesh.ControlPlane.Tests.Model.Given.Port("9090:grpc")] }, Proved("web-1", "shop/web"));
    }

    private static AuthorizationAnswer Ask(World world, AuthorizationQuestion question)
    {
        var answer = AuthorizationCheck.Answer(CompiledWorld.From(world, null), question, out var error);
        Assert.True(answer is not null, error);
        return answer;
    }

    private static AuthorizationQuestion Question(string text)
    {
        var words = text.Split(' ');
        return new AuthorizationQuestion
        {
            From = words[0] == "-" ? "" : words[0],
            To = words[1],
            Method = words.Length > 2 ? words[2] : "",
            Path = words.Length > 3 ? words[3] : "",
        };
    }
}
