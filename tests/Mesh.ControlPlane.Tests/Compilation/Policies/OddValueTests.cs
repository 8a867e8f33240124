using System.Text;
using Mesh.Api.Operators;
using Mesh.ControlPlane.Admin.Authz;
using Mesh.ControlPlane.Compilation;
using Mesh.ControlPlane.Rules;
using static Mesh.ControlPlane.Tests.Model.Policies.PolicyWorld;

namespace Mesh.ControlPlane.Tests.Compilation.Policies;

/// <summary>
/// A DENY rule that never matches is the worst rule: nobody notices. Values that people write in odd but plain forms deny what they name, or the
/// file is refused; none compiles to what a sidecar would refuse.
/// </summary>
public sealed class OddValueTests
{
    public static TheoryData<string, string> Rules() => new()
    {
        { "to: [{operation: {hosts: ['CART.Shop']}}]", "GET /" },
        { "to: [{operation: {hosts: ['cart.*']}}]", "GET /" },
        { "to: [{operation: {hosts: ['*:8080']}}]", "GET /" },
        { "from: [{source: {ipBlocks: ['0.0.0.0/0']}}]", "GET /" },
        { "to: [{operation: {paths: ['/caf\u00e9/{*}']}}]", "GET /caf%c3%a9/x" },
        { "to: [{operation: {paths: ['/a b/{*}']}}]", "GET /a%20b/x" },
        { "to: [{operation: {paths: ['/a/{**}']}}]", "GET /a/b/c" },
        { "to: [{operation: {paths: ['/caf\u00e9*']}}]", "GET /caf%c3%a9/x" },
        { "to: [{operation: {methods: ['*']}}]", "GET /" },
        { "to: [{operation: {methods: ['G*']}}]", "GET /" },
        { "from: [{source: {principals: ['*']}}]", "GET /" },
        { "from: [{source: {principals: ['cluster.local/*']}}]", "GET /" },
        { "from: [{source: {principals: ['spiffe://cluster.local/ns/shop/*']}}]", "GET /" },
        { "from: [{source: {principals: ['spiffe://*']}}]", "GET /" },
        { "from: [{source: {principals: ['cluster*']}}]", "GET /" },
        { "from: [{source: {principals: ['*/web']}}]", "GET /" },
        { "from: [{source: {principals: ['*shop/sa/web']}}]", "GET /" },
        { "from: [{source: {principals: ['*://cluster.local/ns/shop/sa/web']}}]", "GET /" },
        { "from: [{source: {namespaces: ['*']}}]", "GET /" },
        { "from: [{source: {namespaces: ['*op']}}]", "GET /" },
        { "from: [{source: {namespaces: ['sh*']}}]", "GET /" },
        { "from: [{source: {serviceAccounts: [web]}}]", "GET /" },
        { "from: [{source: {serviceAccounts: [shop/web]}}]", "GET /" },
        { "when: [{key: 'request.headers[X-Team]', values: ['*']}]", "GET / x-team=1" },
        { "when: [{key: 'request.headers[X-Team]', values: ['caf\u00e9']}]", "GET / x-team=caf\u00c3\u00a9" },
        { "when: [{key: 'request.headers[host]', values: ['cart.shop:8080']}]", "GET /" },
        { "when: [{key: source.namespace, values: [shop]}]", "GET /" },
        { "when: [{key: destination.ip, values: ['10.1.0.0/16']}]", "GET /" },
    };

    public static TheoryData<string, string> Refused() => new()
    {
        { "to: [{operation: {ports: ['08080']}}]", "must be a port of the application, 1 to 65535" },
        { "when: [{key: destination.port, values: ['08080']}]", "must be a port of the application, 1 to 65535" },
        { "to: [{operation: {hosts: [cart.shop.]}}]", "without the dot behind it" },
        { "to: [{operation: {hosts: ['cart.shop.:8080']}}]", "without the dot behind it" },
        { "to: [{operation: {hosts: ['*.shop.']}}]", "without the dot behind it" },
        { "to: [{operation: {hosts: ['cart.shop:']}}]", "must be a host name" },
        { "from: [{source: {ipBlocks: ['::ffff:10.1.0.0/112']}}]", "is IPv4 written as IPv6" },
        { "from: [{source: {ipBlocks: ['::ffff:10.1.0.9']}}]", "is IPv4 written as IPv6" },
        { "from: [{source: {ipBlocks: ['::ffff:0:0/96']}}]", "is IPv4 written as IPv6" },
        { "when: [{key: source.ip, values: ['::ffff:10.1.0.0/112']}]", "is IPv4 written as IPv6" },
        { "from: [{source: {principals: ['spiffe:*']}}]", "has characters no SPIFFE ID has" },
        { "when: [{key: 'request.headers[:authority]', values: ['cart.shop']}]", "must be request.headers[NAME]" },
        { "when: [{key: 'request.headers[:method]', values: ['GET']}]", "must be request.headers[NAME]" },
    };

    [Theory]
    [MemberData(nameof(Refused))]
    public void What_would_never_match_is_refused_where_it_is_written(string rule, string words)
    {
        var parsed = RuleReader.Read([new RuleFile("r.yaml", Encoding.UTF8.GetBytes(Authorization("odd", $"action: DENY, rules: [{{{rule}}}]")))]);
        Assert.Contains(words, Assert.Single(parsed.Errors).ToString());
    }

    [Theory]
    [MemberData(nameof(Rules))]
    public void A_deny_rule_denies_what_it_names(string rule, string request)
    {
        var yaml = Authorization("odd", $"action: DENY, rules: [{{{rule}}}]");
        var parsed = RuleReader.Read([new RuleFile("r.yaml", Encoding.UTF8.GetBytes(yaml))]);
        Assert.Empty(parsed.Errors);
        var words = request.Split(' ');
        var question = new AuthorizationQuestion { From = "shop/web", To = "cart.shop:8080", Method = words[0], Path = words[1], Address = "10.1.0.9" };
        if (words.Length > 2) question = question with { Headers = new Dictionary<string, string>(StringComparer.Ordinal) { [words[2].Split('=')[0]] = words[2].Split('=')[1] } };
        var answer = AuthorizationCheck.Answer(CompiledWorld.From(Of(yaml, Proved("cart-1", "shop/cart"), Proved("web-1", "shop/web")), null), question, out var error);
        Assert.True(answer is not null, error);
        Assert.False(answer.Verdicts[0].Allowed, answer.Verdicts[0].Reason);
    }
}
