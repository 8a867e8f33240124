using Mesh.Api.Rbac;

namespace Mesh.Api.Tests.Rbac;

/// <summary>What each matcher asks, what each action makes of the answer, and what happens where a request has several readings.</summary>
public sealed class RbacEngineTests
{
    private const string Cart = "spiffe://cluster.local/ns/shop/sa/cart";
    private const string IsCart = "{\"authenticated\": {\"principalName\": {\"exact\": \"" + Cart + "\"}}}";

    [Fact]
    public void An_action_says_what_a_match_means()
    {
        const string policies = """ "policies": { "p": { "permissions": [{"urlPath": {"path": {"exact": "/a"}}}], "principals": [{"any": true}] } } """;
        var (allow, deny, log) = (Decision.Engine($"{{ {policies} }}"), Decision.Engine($"{{ \"action\": \"DENY\", {policies} }}"), Decision.Engine($"{{ \"action\": \"LOG\", {policies} }}"));
        var (a, b) = (new Decision { Target = "/a" }, new Decision { Target = "/b" });
        Assert.Equal(new RbacVerdict(true, "p"), a.Of(allow));
        Assert.Equal(new RbacVerdict(false, null), b.Of(allow));
        Assert.Equal(new RbacVerdict(false, "p"), a.Of(deny));
        Assert.Equal(new RbacVerdict(true, null), b.Of(deny));
        Assert.Equal(new RbacVerdict(true, "p"), a.Of(log));
        Assert.False(b.Of(log).Matched);
        Assert.Equal((RbacAction.Allow, RbacAction.Deny, RbacAction.Log), (allow.Action, deny.Action, log.Action));
    }

    [Fact]
    public void No_policy_at_all_allows_nobody_and_denies_nobody()
    {
        Assert.False(new Decision().Of(Decision.Engine("{}")).Allowed);
        Assert.True(new Decision().Of(Decision.Engine("""{ "action": "DENY" }""")).Allowed);
    }

    [Theory]
    [InlineData(3)]
    [InlineData(200)]
    public void The_first_policy_by_ordinal_key_decides(int more)
    {
        var keys = Enumerable.Range(0, more).Select(i => $"m{i:d3}").Concat(["b", "a", "B"]);
        var policies = string.Join(',', keys.Select((k, i) => $$"""
            "{{k}}": { "permissions": [{"any": true}], "principals": [{{(i % 2 == 0 ? """{"any": true}""" : IsCart)}}] }
            """));
        var engine = Decision.Engine($"{{ \"policies\": {{ {policies} }} }}");
        Assert.Equal("B", new Decision { Principal = Cart }.Of(engine).Policy);
    }

    public static TheoryData<string, string, bool> Permissions => new()
    {
        { """{"any": true}""", "GET /", true },
        { """{"urlPath": {"path": {"exact": "/a"}}}""", "GET /a", true },
        { """{"urlPath": {"path": {"exact": "/a"}}}""", "GET /a?x=/b", true },
        { """{"urlPath": {"path": {"exact": "/a"}}}""", "GET /%61", true },
        { """{"urlPath": {"path": {"exact": "/%61"}}}""", "GET /a", true },
        { """{"urlPath": {"path": {"exact": "/a b"}}}""", "GET /a%20b", true },
        { """{"urlPath": {"path": {"exact": "/a"}}}""", "GET /A", false },
        { """{"urlPath": {"path": {"exact": "/a", "ignoreCase": true}}}""", "GET /A", true },
        { """{"urlPath": {"path": {"exact": "/a"}}}""", "GET /a/", false },
        { """{"urlPath": {"path": {"prefix": "/a/"}}}""", "GET /a/b", true },
        { """{"urlPath": {"path": {"prefix": "/a/"}}}""", "GET /a", false },
        { """{"urlPath": {"path": {"suffix": "/info"}}}""", "GET /a/info?q", true },
        { """{"urlPath": {"path": {"suffix": "/info"}}}""", "GET /a/infos", false },
        { """{"urlPath": {"path": {"contains": "min"}}}""", "GET /admin/x", true },
        { """{"urlPath": {"path": {"safeRegex": {"regex": "/a/[^/]+"}}}}""", "GET /a/b", true },
        { """{"urlPath": {"path": {"safeRegex": {"regex": "/a/[^/]+"}}}}""", "GET /a/*", true },
        { """{"urlPath": {"path": {"safeRegex": {"regex": "/a/[^/]+"}}}}""", "GET /a/b/c", false },
        { """{"urlPath": {"path": {"safeRegex": {"regex": "/a|/b"}}}}""", "GET /b", true },
        { """{"urlPath": {"path": {"safeRegex": {"regex": "/a|/b"}}}}""", "GET /ab", false },
        { """{"orRules": {"rules": [{"urlPath": {"path": {"exact": "/1"}}}, {"urlPath": {"path": {"exact": "/2"}}}, {"urlPath": {"path": {"exact": "/3"}}}, {"urlPath": {"path": {"exact": "/4"}}}, {"urlPath": {"path": {"prefix": "/5/"}}}]}}""", "GET /3", true },
        { """{"orRules": {"rules": [{"urlPath": {"path": {"exact": "/1"}}}, {"urlPath": {"path": {"exact": "/2"}}}, {"urlPath": {"path": {"exact": "/3"}}}, {"urlPath": {"path": {"exact": "/4"}}}, {"urlPath": {"path": {"prefix": "/5/"}}}]}}""", "GET /5/x", true },
        { """{"orRules": {"rules": [{"urlPath": {"path": {"exact": "/1"}}}, {"urlPath": {"path": {"exact": "/2"}}}, {"urlPath": {"path": {"exact": "/3"}}}, {"urlPath": {"path": {"exact": "/4"}}}]}}""", "GET /5", false },
        { """{"header": {"name": ":method", "exactMatch": "GET"}}""", "GET /", true },
        { """{"header": {"name": ":method", "exactMatch": "GET"}}""", "get /", false },
        { """{"header": {"name": ":method", "stringMatch": {"exact": "PUT"}, "invertMatch": true}}""", "GET /", true },
        { """{"header": {"name": ":method", "presentMatch": true}}""", "GET /", true },
        { """{"header": {"name": ":authority", "exactMatch": "web.shop"}}""", "GET / Web.Shop", true },
        { """{"header": {"name": ":authority", "exactMatch": "web.shop"}}""", "GET / web.shop.", true },
        { """{"header": {"name": "host", "exactMatch": "WEB.shop:80"}}""", "GET / web.shop.:80", true },
        { """{"header": {"name": ":authority", "exactMatch": "web.shop"}}""", "GET / web.shop:80", false },
        { """{"header": {"name": ":authority", "stringMatch": {"suffix": ".shop"}}}""", "GET / web.SHOP.", true },
        { """{"header": {"name": ":authority", "safeRegexMatch": {"regex": "web\\.shop(:[0-9]+)?"}}}""", "GET / WEB.shop:80", true },
        { """{"header": {"name": ":authority", "exactMatch": "[::1]"}}""", "GET / [::1]", true },
        { """{"destinationIp": {"addressPrefix": "10.0.0.0", "prefixLen": 8}}""", "GET /", true },
        { """{"destinationIp": {"addressPrefix": "10.9.9.9", "prefixLen": 8}}""", "GET /", true },
        { """{"destinationIp": {"addressPrefix": "11.0.0.0", "prefixLen": 8}}""", "GET /", false },
        { """{"destinationIp": {"addressPrefix": "0.0.0.0", "prefixLen": 0}}""", "GET /", true },
        { """{"destinationIp": {"addressPrefix": "::", "prefixLen": 0}}""", "GET /", false },
        { """{"destinationPort": 8080}""", "GET /", true },
        { """{"destinationPort": 8081}""", "GET /", false },
        { """{"destinationPortRange": {"start": 8000, "end": 8081}}""", "GET /", true },
        { """{"destinationPortRange": {"start": 8000, "end": 8080}}""", "GET /", false },
        { """{"notRule": {"destinationPort": 8080}}""", "GET /", false },
        { """{"andRules": {"rules": [{"destinationPort": 8080}, {"header": {"name": ":method", "exactMatch": "GET"}}]}}""", "GET /", true },
        { """{"andRules": {"rules": [{"destinationPort": 8080}, {"header": {"name": ":method", "exactMatch": "GET"}}]}}""", "PUT /", false },
    };

    [Theory]
    [MemberData(nameof(Permissions))]
    public void A_permission_asks_what_the_request_wants(string permission, string request, bool matches)
    {
        var parts = request.Split(' ');
        var decision = new Decision { Method = parts[0], Target = parts[1], Authority = parts.Length > 2 ? parts[2] : "web" };
        foreach (var action in (string[])["ALLOW", "DENY"])
        {
            var engine = Decision.Engine($$"""{ "action": "{{action}}", "policies": { "p": {"permissions": [{{permission}}], "principals": [{"any": true}] } } }""");
            Assert.Equal(matches ? "p" : null, decision.Of(engine).Policy);
        }
    }

    public static TheoryData<string, string?, string, bool> Principals => new()
    {
        { """{"any": true}""", null, "10.0.0.1", true },
        { """{"authenticated": {}}""", null, "10.0.0.1", false },
        { """{"authenticated": {}}""", Cart, "10.0.0.1", true },
        { """{"notId": {"authenticated": {}}}""", null, "10.0.0.1", true },
        { IsCart, Cart, "10.0.0.1", true },
        { IsCart, Cart + "2", "10.0.0.1", false },
        { IsCart, Cart.ToUpperInvariant(), "10.0.0.1", false },
        { IsCart, null, "10.0.0.1", false },
        { """{"authenticated": {"principalName": {"exact": ""}}}""", null, "10.0.0.1", false },
        { """{"authenticated": {"principalName": {"prefix": "spiffe://cluster.local/ns/shop/"}}}""", Cart, "10.0.0.1", true },
        { """{"authenticated": {"principalName": {"safeRegex": {"regex": ".*/ns/shop/.*"}}}}""", Cart, "10.0.0.1", true },
        { """{"authenticated": {"principalName": {"safeRegex": {"regex": ".*/ns/sho/.*"}}}}""", Cart, "10.0.0.1", false },
        { """{"sourceIp": {"addressPrefix": "10.0.0.0", "prefixLen": 30}}""", null, "10.0.0.3", true },
        { """{"sourceIp": {"addressPrefix": "10.0.0.0", "prefixLen": 30}}""", null, "10.0.0.4", false },
        { """{"directRemoteIp": {"addressPrefix": "10.0.0.1", "prefixLen": 32}}""", null, "::ffff:10.0.0.1", true },
        { """{"directRemoteIp": {"addressPrefix": "::ffff:10.0.0.1", "prefixLen": 32}}""", null, "10.0.0.1", true },
        { """{"directRemoteIp": {"addressPrefix": "fd00::", "prefixLen": 8}}""", null, "fdff::1", true },
        { """{"directRemoteIp": {"addressPrefix": "fd00::", "prefixLen": 8}}""", null, "fc00::1", false },
        { """{"directRemoteIp": {"addressPrefix": "fd00::1", "prefixLen": 128}}""", null, "fd00::1", true },
        { """{"orIds": {"ids": [{"authenticated": {"principalName": {"exact": "a"}}}, {"authenticated": {"principalName": {"exact": "b"}}}, {"authenticated": {"principalName": {"exact": "c"}}}, {"authenticated": {"principalName": {"exact": "d"}}}]}}""", "c", "10.0.0.1", true },
        { """{"orIds": {"ids": [{"authenticated": {"principalName": {"exact": "a"}}}, {"authenticated": {"principalName": {"exact": "b"}}}, {"authenticated": {"principalName": {"exact": "c"}}}, {"authenticated": {"principalName": {"exact": "d"}}}]}}""", "e", "10.0.0.1", false },
        { """{"andIds": {"ids": [{"authenticated": {}}, {"notId": {"sourceIp": {"addressPrefix": "10.0.0.1", "prefixLen": 32}}}]}}""", Cart, "10.0.0.1", false },
        { """{"andIds": {"ids": [{"authenticated": {}}, {"notId": {"sourceIp": {"addressPrefix": "10.0.0.1", "prefixLen": 32}}}]}}""", Cart, "10.0.0.2", true },
        { """{"urlPath": {"path": {"exact": "/"}}}""", null, "10.0.0.1", true },
        { """{"header": {"name": "x-a", "presentMatch": true}}""", null, "10.0.0.1", false },
    };

    [Theory]
    [MemberData(nameof(Principals))]
    public void A_principal_asks_who_wants_it(string principal, string? id, string source, bool matches)
    {
        foreach (var layer in (RbacLayer[])[RbacLayer.Http, RbacLayer.Network])
        {
            if (layer == RbacLayer.Network && (principal.Contains("urlPath", StringComparison.Ordinal) || principal.Contains("header", StringComparison.Ordinal))) continue;
            var engine = Decision.Engine($$"""{ "policies": { "p": {"permissions": [{"any": true}], "principals": [{{principal}}] } } }""", layer);
            Assert.Equal(matches, new Decision { Principal = id, Source = source }.Of(engine).Allowed);
        }
    }

    [Theory]
    [InlineData("""{"name": "x-a", "exactMatch": "1"}""", "x-a:1", "p", "p")]
    [InlineData("""{"name": "X-A", "exactMatch": "1"}""", "x-a:1", "p", "p")]
    [InlineData("""{"name": "x-a", "exactMatch": "1"}""", "x-a:2", null, null)]
    [InlineData("""{"name": "x-a", "exactMatch": "1"}""", "", null, null)]
    [InlineData("""{"name": "x-a", "exactMatch": "1", "invertMatch": true}""", "x-a:2", "p", "p")]
    // A missing field matches no value, inverted or not, unless missing means empty.
    [InlineData("""{"name": "x-a", "exactMatch": "1", "invertMatch": true}""", "", null, null)]
    [InlineData("""{"name": "x-a", "exactMatch": "1", "invertMatch": true, "treatMissingHeaderAsEmpty": true}""", "", "p", "p")]
    [InlineData("""{"name": "x-a", "presentMatch": true}""", "x-a:", "p", "p")]
    [InlineData("""{"name": "x-a", "presentMatch": false}""", "", "p", "p")]
    [InlineData("""{"name": "x-a", "presentMatch": true, "invertMatch": true}""", "", "p", "p")]
    [InlineData("""{"name": "x-a", "stringMatch": {"contains": "b", "ignoreCase": true}}""", "x-a:aBc", "p", "p")]
    // Bytes beyond ASCII are compared as such, and no expression is escaped from by them.
    [InlineData("""{"name": "x-a", "safeRegexMatch": {"regex": ".*"}}""", "x-a:\u00ff", "p", "p")]
    [InlineData("""{"name": "x-a", "exactMatch": "é"}""", "x-a:\u00c3\u00a9", "p", "p")]
    // Several fields of one name: each, and joined. DENY when one reading matches, ALLOW when all do.
    [InlineData("""{"name": "x-a", "exactMatch": "1"}""", "x-a:1|x-a:2", null, "p")]
    [InlineData("""{"name": "x-a", "exactMatch": "1,2"}""", "x-a:1|x-a:2", null, "p")]
    [InlineData("""{"name": "x-a", "exactMatch": "3"}""", "x-a:1|x-a:2", null, null)]
    [InlineData("""{"name": "x-a", "exactMatch": "1", "invertMatch": true}""", "x-a:1|x-a:2", null, "p")]
    [InlineData("""{"name": "x-a", "prefixMatch": "1"}""", "x-a:1|x-a:12", "p", "p")]
    [InlineData("""{"name": "x-a", "presentMatch": true}""", "x-a:1|x-a:2", "p", "p")]
    public void A_header_is_asked_in_all_its_readings(string header, string fields, string? allow, string? deny)
    {
        var decision = new Decision
        {
            Headers = [.. fields.Split('|', StringSplitOptions.RemoveEmptyEntries).Select(f => (f.Split(':')[0], f.Split(':')[1]))],
        };
        var policies = $$"""{ "p": {"permissions": [{"header": {{header}}}], "principals": [{"any": true}] } }""";
        Assert.Equal(allow, decision.Of(Decision.Engine($$"""{ "policies": {{policies}} }""")).Policy);
        Assert.Equal(deny, decision.Of(Decision.Engine($$"""{ "action": "DENY", "policies": {{policies}} }""")).Policy);
    }

    [Theory]
    // Parameters and doubled slashes: nothing that any server reads as the denied path gets through, and nothing is allowed by a reading.
    [InlineData("""{"urlPath": {"path": {"exact": "/admin"}}}""", "/admin;x=y", null, "p")]
    [InlineData("""{"urlPath": {"path": {"exact": "/admin"}}}""", "/;/admin", null, "p")]
    [InlineData("""{"urlPath": {"path": {"exact": "/admin"}}}""", "//admin", null, "p")]
    [InlineData("""{"urlPath": {"path": {"exact": "/admin"}}}""", "/admin%3bx", null, "p")]
    [InlineData("""{"urlPath": {"path": {"prefix": "/app/"}}}""", "/app/x;v=1", "p", "p")]
    [InlineData("""{"urlPath": {"path": {"prefix": "/app/"}}}""", "//app/x", null, "p")]
    [InlineData("""{"notRule": {"urlPath": {"path": {"prefix": "/app/"}}}}""", "//app/x", null, "p")]
    [InlineData("""{"notRule": {"urlPath": {"path": {"prefix": "/app/"}}}}""", "//x", "p", "p")]
    public void A_path_is_asked_in_all_its_readings(string permission, string target, string? allow, string? deny)
    {
        var policies = $$"""{ "p": {"permissions": [{{permission}}], "principals": [{"any": true}] } }""";
        var allowed = new Decision { Target = target }.Of(Decision.Engine($$"""{ "policies": {{policies}} }"""));
        Assert.Equal(allow, allowed.Policy);
        Assert.Equal(allow is null, allowed.Ambiguous);
        Assert.Equal(deny, new Decision { Target = target }.Of(Decision.Engine($$"""{ "action": "DENY", "policies": {{policies}} }""")).Policy);
    }

    [Fact]
    public void What_is_not_known_allows_nothing_and_is_denied()
    {
        const string policies = """{ "p": {"permissions": [{"any": true}], "principals": [{"sourceIp": {"addressPrefix": "10.0.0.0", "prefixLen": 8}}] } }""";
        var unknown = new Decision { Source = null };
        Assert.False(unknown.Of(Decision.Engine($$"""{ "policies": {{policies}} }""")).Allowed);
        Assert.False(unknown.Of(Decision.Engine($$"""{ "action": "DENY", "policies": {{policies}} }""")).Allowed);
        const string host = """{ "p": {"permissions": [{"header": {"name": ":authority", "exactMatch": "admin"}}], "principals": [{"any": true}] } }""";
        Assert.False(new Decision { Authority = "%61dmin" }.Of(Decision.Engine($$"""{ "action": "DENY", "policies": {{host}} }""")).Allowed);
    }

    [Fact]
    public void Only_rules_about_paths_ask_for_a_canonical_path()
    {
        Assert.False(Decision.Engine("""{ "policies": { "p": {"permissions": [{"header": {"name": ":method", "exactMatch": "GET"}}], "principals": [{"any": true}] } } }""").ReadsPath);
        Assert.True(Decision.Engine("""{ "policies": { "p": {"permissions": [{"any": true}], "principals": [{"notId": {"urlPath": {"path": {"exact": "/"}}}}] } } }""").ReadsPath);
    }

    [Theory]
    [InlineData(4)]
    [InlineData(1000)]
    public void Deciding_allocates_nothing(int count)
    {
        var policies = string.Join(',', Enumerable.Range(0, count).Select(i => """
            "pNUMBER": { "permissions": [{"andRules": {"rules": [{"urlPath": {"path": {"prefix": "/sNUMBER/"}}}, {"urlPath": {"path": {"safeRegex": {"regex": "/s[0-9]+/[a-z]+"}}}},
              {"header": {"name": ":method", "exactMatch": "GET"}}, {"header": {"name": "x-a", "exactMatch": "1"}}]}}],
              "principals": [{"orIds": {"ids": [CART, {"sourceIp": {"addressPrefix": "10.0.0.0", "prefixLen": 8}}]}}] }
            """.Replace("NUMBER", i.ToString(System.Globalization.CultureInfo.InvariantCulture), StringComparison.Ordinal).Replace("CART", IsCart, StringComparison.Ordinal)));
        var engine = Decision.Engine($"{{ \"policies\": {{ {policies} }} }}");
        var decision = new Decision { Target = $"/s{count - 1}/abc", Principal = Cart, Headers = [] };
        var source = IpValue.Of(System.Net.IPAddress.Parse("10.1.1.1"));
        var fields = new OneField();
        Assert.True(Decide().Allowed);
        for (var i = 0; i < 200; i++) Decide();
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 1000; i++) Decide();
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);

        RbacVerdict Decide()
        {
            using var path = CanonicalPath.Read(decision.Target);
            return engine.Evaluate(new RbacRequest { Method = "GET", Path = path, Authority = "web", Principal = Cart, Source = source, Fields = fields, DestinationPort = 80 });
        }
    }

    private sealed class OneField : IRbacFields
    {
        public string? Find(string name, out bool several)
        {
            several = false;
            return name == "x-a" ? "1" : null;
        }

        public IReadOnlyList<string> All(string name) => ["1"];
    }
}
