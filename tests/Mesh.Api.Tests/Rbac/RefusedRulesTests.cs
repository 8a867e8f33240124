using Envoy.Config.Rbac.V3;
using Google.Protobuf;
using Mesh.Api.Rbac;

namespace Mesh.Api.Tests.Rbac;

/// <summary>Rules that cannot be asked as they are written are refused with place and reason; none is skipped.</summary>
public sealed class RefusedRulesTests
{
    public static TheoryData<string, string> Http => new()
    {
        { Rule("""{ "principals": [{"any": true}] }"""), "policies[\"p\"].permissions: is empty" },
        { Rule("""{ "permissions": [{"any": true}] }"""), "policies[\"p\"].principals: is empty" },
        { Permission("""{ }"""), "permissions[0]: is not supported: a permission needs a rule" },
        { Principal("""{ }"""), "principals[0]: is not supported: a principal needs an identifier" },
        { Permission("""{ "any": false }"""), "permissions[0].any: must be true" },
        { Principal("""{ "any": false }"""), "principals[0].any: must be true" },
        { Permission("""{ "andRules": {} }"""), "permissions[0].and_rules.rules: is empty" },
        { Permission("""{ "orRules": {} }"""), "permissions[0].or_rules.rules: is empty" },
        { Principal("""{ "andIds": {} }"""), "principals[0].and_ids.ids: is empty" },
        { Permission("""{ "notRule": { "orRules": { "rules": [{"any": true}, {}] } } }"""), "permissions[0].not_rule.or_rules.rules[1]: is not supported" },
        { Permission("""{ "metadata": {"filter": "f"} }"""), "permissions[0].metadata: is not supported: there is no dynamic metadata" },
        { Principal("""{ "metadata": {"filter": "f"} }"""), "principals[0].metadata: is not supported" },
        { Principal("""{ "filterState": {"key": "f"} }"""), "principals[0].filter_state: is not supported" },
        { Principal("""{ "remoteIp": {"addressPrefix": "10.0.0.0", "prefixLen": 8} }"""), "principals[0].remote_ip: is not supported: no peer's x-forwarded-for is trusted" },
        { Permission("""{ "requestedServerName": {"exact": "a"} }"""), "permissions[0].requested_server_name: is not supported" },
        { Permission("""{ "urlPath": {} }"""), "permissions[0].url_path.path: one of exact" },
        { Permission("""{ "urlPath": {"path": {}} }"""), "permissions[0].url_path.path: one of exact" },
        { Permission("""{ "urlPath": {"path": {"prefix": ""}} }"""), "url_path.path.prefix: is empty: it would match everything" },
        { Permission("""{ "urlPath": {"path": {"exact": "/a/../b"}} }"""), "url_path.path.exact: \"/a/../b\": the path holds a dot segment; no request could match" },
        { Permission("""{ "urlPath": {"path": {"exact": ""}} }"""), "url_path.path.exact: \"\": is empty" },
        { Permission("""{ "urlPath": {"path": {"safeRegex": {}}} }"""), "url_path.path.safe_regex.regex: is empty" },
        { Permission("""{ "urlPath": {"path": {"safeRegex": {"regex": "("}}} }"""), "safe_regex.regex: \"(\" is not an expression" },
        { Permission("""{ "urlPath": {"path": {"safeRegex": {"regex": "a)|(b"}}} }"""), "safe_regex.regex: \"a)|(b\" is not an expression" },
        { Permission("""{ "urlPath": {"path": {"safeRegex": {"regex": "(a)\\1"}}} }"""), "safe_regex.regex: \"(a)\\1\" is not an expression" },
        { Permission("""{ "urlPath": {"path": {"safeRegex": {"regex": "(?=a)"}}} }"""), "is not an expression" },
        { Permission("""{ "urlPath": {"path": {"safeRegex": {"regex": "a{90000}{90000}"}}} }"""), "safe_regex.regex:" },
        { Permission("""{ "urlPath": {"path": {"safeRegex": {"regex": "/café"}}} }"""), "holds a character beyond ASCII" },
        { Permission("""{ "urlPath": {"path": {"safeRegex": {"regex": "LONG"}}} }""".Replace("LONG", new string('a', 5000), StringComparison.Ordinal)), "is 5000 characters long; the most is 4096" },
        { Permission("""{ "urlPath": {"path": {"ignoreCase": true, "safeRegex": {"regex": "a"}}} }"""), "ignore_case: says nothing of an expression" },
        { Permission("""{ "header": {"exactMatch": "a"} }"""), "permissions[0].header.name: is empty" },
        { Permission("""{ "header": {"name": ":path", "exactMatch": "/a"} }"""), "header.name: \":path\" has no canonical form: use url_path" },
        { Permission("""{ "header": {"name": ":scheme", "exactMatch": "http"} }"""), "header.name: is not supported: \":scheme\"" },
        { Permission("""{ "header": {"name": "Transfer-Encoding", "presentMatch": true} }"""), "belongs to one connection" },
        { Permission("""{ "header": {"name": "x-mesh-source", "prefixMatch": "web;"} }"""), "is the mesh's own" },
        { Permission("""{ "header": {"name": "a", "rangeMatch": {"start": "1", "end": "2"}} }"""), "header.range_match: is not supported" },
        { Permission("""{ "header": {"name": "a", "stringMatch": {}} }"""), "header.string_match: one of exact" },
        { Principal("""{ "header": {"name": "a", "prefixMatch": ""} }"""), "principals[0].header.prefix: is empty" },
        { Principal("""{ "authenticated": {"principalName": {}} }"""), "principals[0].authenticated.principal_name: one of exact" },
        { Principal("""{ "directRemoteIp": {"addressPrefix": "ten", "prefixLen": 8} }"""), "direct_remote_ip.address_prefix: \"ten\" is not an IP address" },
        { Principal("""{ "directRemoteIp": {"addressPrefix": "10.0.0.0"} }"""), "direct_remote_ip.prefix_len: is missing" },
        { Principal("""{ "directRemoteIp": {"addressPrefix": "10.0.0.0", "prefixLen": 33} }"""), "prefix_len: 33 is more than 32" },
        { Principal("""{ "sourceIp": {"addressPrefix": "fe80::1%eth0", "prefixLen": 64} }"""), "is not an IP address" },
        { Permission("""{ "destinationPort": 70000 }"""), "destination_port: 70000 is not a port" },
        { Permission("""{ "destinationPortRange": {"start": 10, "end": 10} }"""), "destination_port_range: from 10 up to and without 10 are no ports" },
        { Permission("""{ "destinationPortRange": {"start": -1, "end": 10} }"""), "destination_port_range:" },
        { """{ "action": 7, "policies": {} }""", "action: 7 is not known" },
    };

    [Theory]
    [MemberData(nameof(Http))]
    public void Refused(string json, string expected)
    {
        var problems = new List<string>();
        Assert.Null(RbacEngine.Build(Parse(json), RbacLayer.Http, problems));
        var problem = Assert.Single(problems);
        Assert.Contains(expected, problem, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{ "urlPath": {"path": {"exact": "/a"}} }""", "url_path: is not supported: a TCP connection has no path")]
    [InlineData("""{ "header": {"name": ":method", "exactMatch": "GET"} }""", "header: is not supported: a TCP connection has no header")]
    [InlineData("""{ "notRule": { "header": {"name": "a", "presentMatch": true} } }""", "not_rule.header: is not supported")]
    public void A_rule_of_requests_is_refused_for_connections(string permission, string expected)
    {
        var problems = new List<string>();
        Assert.Null(RbacEngine.Build(Parse(Permission(permission)), RbacLayer.Network, problems));
        Assert.Contains(expected, Assert.Single(problems), StringComparison.Ordinal);
        problems.Clear();
        Assert.Null(RbacEngine.Build(Parse(Principal("""{ "urlPath": {"path": {"exact": "/a"}} }""")), RbacLayer.Network, problems));
        Assert.Contains("principals[0].url_path: is not supported", Assert.Single(problems), StringComparison.Ordinal);
    }

    [Fact]
    public void Every_problem_is_told()
    {
        var problems = new List<string>();
        var rules = Parse("""{ "action": 9, "policies": { "b": {"permissions": [{}], "principals": [{}]}, "a": {} } }""");
        Assert.Null(RbacEngine.Build(rules, RbacLayer.Http, problems));
        Assert.Equal(5, problems.Count);
        Assert.StartsWith("action", problems[0], StringComparison.Ordinal);
        Assert.StartsWith("policies[\"a\"].permissions", problems[1], StringComparison.Ordinal);
    }

    private static RBAC Parse(string json) => JsonParser.Default.Parse<RBAC>(json);

    private static string Rule(string policy) => $$"""{ "policies": { "p": {{policy}} } }""";

    private static string Permission(string permission) => Rule($$"""{ "permissions": [{{permission}}], "principals": [{"any": true}] }""");

    private static string Principal(string principal) => Rule($$"""{ "permissions": [{"any": true}], "principals": [{{principal}}] }""");
}
