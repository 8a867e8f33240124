using System.Text.Json;
using Mesh.Api.Operators;

namespace Mesh.Cli.Tests.Commands;

/// <summary>The commands about identities, tokens, the authority and authorization, against a server that gives known answers.</summary>
public sealed class IdentityCommandsTests : IAsyncLifetime
{
    private const string Cart = "spiffe://cluster.local/ns/shop/sa/cart";
    private static readonly DateTimeOffset Now = TimeProvider.System.GetUtcNow();
    private OperatorsServer server = null!;

    public async Task InitializeAsync() => server = await OperatorsServer.StartAsync();

    public async Task DisposeAsync() => await server.DisposeAsync();

    [Fact]
    public async Task Token_create_prints_the_token_alone()
    {
        server.Answer(OperatorsApi.Tokens, OperatorsJson.Default.IssuedToken, new IssuedToken { Token = "mesh1.a.b", Id = "1", Identity = Cart });

        var (code, output, error) = await server.RunAsync(
            "token", "create", "--identity", "ns/shop/sa/cart", "--serves", "cart", "--serves", "basket", "--ttl", "1h", "--address", "10.0.0.7");

        Assert.Equal((0, "mesh1.a.b\n", ""), (code, output, error));
        var request = Assert.Single(server.Requests);
        Assert.Equal(("POST", OperatorsApi.Tokens), (request.Method, request.Path));
        var asked = JsonSerializer.Deserialize(request.Body, OperatorsJson.Default.TokenRequest)!;
        Assert.Equal(("ns/shop/sa/cart", 3600), (asked.Identity, asked.TtlSeconds));
        Assert.Equal(["cart", "basket"], asked.Serves);
        Assert.Equal(["10.0.0.7"], asked.Addresses);
    }

    [Fact]
    public async Task Identities_as_a_table_and_one_by_its_node()
    {
        server.Answer(OperatorsApi.Identities, OperatorsJson.Default.IdentityList, new IdentityList("cluster.local",
        [
            new IdentityStatus
            {
                Id = Cart,
                Serves = ["shop/cart"],
                Nodes = ["sidecar~127.0.0.1~cart-1~shop"],
                Certificates = [new IssuedCertificate { Serial = "0A", NotBefore = Now.AddMinutes(-5), NotAfter = Now.AddHours(24).AddMinutes(1), Method = "certificate", Address = "127.0.0.1:5" }],
            },
            new IdentityStatus { Id = "spiffe://cluster.local/ns/shop/sa/old", Revoked = true },
        ]));
        server.Answer(OperatorsApi.Nodes, OperatorsJson.Default.NodeList, new NodeList(
        [
            new NodeStatus { Id = "sidecar~127.0.0.1~cart-1~shop", Service = "cart", Workload = "cart-1", Identity = Cart },
            new NodeStatus { Id = "plain", Service = "plain" },
        ]));

        var (_, table, _) = await server.RunAsync("identity", "list");
        Assert.Matches(@"(?m)^spiffe://cluster.local/ns/shop/sa/cart  shop/cart  1      5m ago   in 24h   good$", table);
        Assert.Matches("(?m)/sa/old .* REVOKED$", table);

        foreach (var name in (string[])["cart-1", "cart", "sidecar~127.0.0.1~cart-1~shop", "ns/shop/sa/cart", Cart])
        {
            var (code, text, error) = await server.RunAsync("identity", "show", name);
            Assert.Equal(("", 0), (error, code));
            Assert.StartsWith(Cart + "\n", text, StringComparison.Ordinal);
            Assert.Matches(@"(?m)^0A      5m ago  in 24h   certificate  127.0.0.1:5$", text);
        }

        Assert.Contains("without a certificate", (await server.RunAsync("identity", "show", "plain")).Error, StringComparison.Ordinal);
        Assert.Contains("`meshctl nodes` lists", (await server.RunAsync("identity", "show", "nobody")).Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Revoking_and_taking_it_back()
    {
        var list = new RevocationList([new Revocation { Identity = Cart, Since = Now, Reason = "leaked" }]);
        server.Answer(OperatorsApi.Revocations, OperatorsJson.Default.RevocationList, list);

        var (_, output, _) = await server.RunAsync("identity", "revoke", Cart, "--reason", "leaked");
        await server.RunAsync("identity", "unrevoke", Cart);
        await server.RunAsync("identity", "revocations");

        Assert.Matches($@"(?m)^{Cart}  \d+s ago +leaked$", output);
        Assert.Equal(["POST", "DELETE", "GET"], server.Requests.Select(r => r.Method));
        Assert.Equal(new RevocationRequest(Cart, "leaked"), JsonSerializer.Deserialize(server.Requests[0].Body, OperatorsJson.Default.RevocationRequest));
        Assert.Equal($"{OperatorsApi.Revocations}?identity={Uri.EscapeDataString(Cart)}", server.Requests[1].Path);
    }

    [Fact]
    public async Task Ca_status_shows_what_ends_and_warns()
    {
        server.Answer(OperatorsApi.Authority, OperatorsJson.Default.AuthorityStatus, Authority(null) with { Warnings = ["the root ends in 20 d: meshctl ca rotate"] });

        var (_, output, _) = await server.RunAsync("ca", "status");

        Assert.Contains("certificate lifetime  24h\n", output, StringComparison.Ordinal);
        Assert.Matches(@"(?m)^root    CN=root     aa       2h ago  in 3650d  believed$", output);
        Assert.Matches(@"(?m)^issuer  CN=issuing  bb       2h ago  in 365d   issues$", output);
        Assert.Contains("WARNING: the root ends in 20 d", output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("done", 0)]
    [InlineData("failed", 1)]
    public async Task Ca_rotate_is_followed_to_its_end(string end, int expected)
    {
        var phases = new Queue<RotationStatus>(
        [
            new() { Phase = "wait", Rehearsal = true, WaitingFor = ["cart-1"] },
            new() { Phase = "switch", Rehearsal = true },
            new() { Phase = end, Rehearsal = true, Done = true, Text = "the end" },
        ]);
        server.Answer(OperatorsApi.Rotation, OperatorsJson.Default.AuthorityStatus, Authority(new RotationStatus { Phase = "add", Rehearsal = true }));
        server.Answer(OperatorsApi.Authority, http => OperatorsPage(http, phases.Dequeue()));

        var (code, output, _) = await server.RunAsync("ca", "rotate", "--rehearse");

        Assert.Equal(expected, code);
        Assert.Equal($"rehearsal: add\nrehearsal: wait (waiting for cart-1)\nrehearsal: switch\nrehearsal: {end}: the end\n", output);
        Assert.Equal(new RotationRequest(Rehearse: true), JsonSerializer.Deserialize(server.Requests[0].Body, OperatorsJson.Default.RotationRequest));
    }

    [Fact]
    public async Task Authz_check_tells_the_rule_that_decided()
    {
        server.Answer(OperatorsApi.AuthorizationCheck, OperatorsJson.Default.AuthorizationAnswer, new AuthorizationAnswer
        {
            Destination = "shop/cart:8080",
            Mode = "PERMISSIVE",
            Verdicts =
            [
                new AuthorizationVerdict
                {
                    From = Cart,
                    Allowed = false,
                    Reason = "a DENY rule matches",
                    Policy = "shop/no-refunds",
                    Location = "rules/authz.yaml:12",
                    Steps =
                    [
                        new AuthorizationStep { Policy = "shop/no-refunds", Action = "DENY", Matched = true, Location = "rules/authz.yaml:12" },
                        new AuthorizationStep { Policy = "shop/trial", Action = "ALLOW", DryRun = true, Location = "rules/authz.yaml:30" },
                    ],
                },
            ],
        });

        var (code, output, error) = await server.RunAsync(
            "authz", "check", "--from", "ns/shop/sa/cart", "--to", "cart.shop:8080", "POST", "/refund?x=1", "--header", "X-Role=a=b", "--header", "x-role=c");

        Assert.Equal(("", 3), (error, code));
        Assert.Equal(
            $"""
            DENIED by shop/no-refunds (rules/authz.yaml:12): a DENY rule matches
            {Cart} -> shop/cart:8080 POST /refund?x=1; mutual TLS: PERMISSIVE

            POLICY           ACTION           MATCHED  WRITTEN
            shop/no-refunds  DENY             yes      rules/authz.yaml:12
            shop/trial       ALLOW (dry run)  no       rules/authz.yaml:30

            """, output);
        var asked = JsonSerializer.Deserialize(server.Requests[0].Body, OperatorsJson.Default.AuthorizationQuestion)!;
        Assert.Equal(("ns/shop/sa/cart", "cart.shop:8080", "POST", "/refund?x=1"), (asked.From, asked.To, asked.Method, asked.Path));
        Assert.Equal("a=b, c", Assert.Single(asked.Headers).Value);
    }

    [Fact]
    public async Task Authz_who_can_lists_every_caller_and_is_no_failure()
    {
        server.Answer(OperatorsApi.AuthorizationCheck, OperatorsJson.Default.AuthorizationAnswer, new AuthorizationAnswer
        {
            Destination = "shop/cart:8080",
            Verdicts =
            [
                new AuthorizationVerdict { Reason = "no ALLOW policy matches" },
                new AuthorizationVerdict { From = Cart, Allowed = true, Policy = "shop/p", Location = "r.yaml:1", Reason = "allowed" },
            ],
            Warnings = ["shop/p names the service 'nope', which does not exist (r.yaml:4)"],
        });

        var (code, output, _) = await server.RunAsync("authz", "check", "--to", "cart:8080", "--who-can", "GET", "/");

        Assert.Equal(0, code);
        Assert.Matches(@"(?m)^\(no certificate\) +no ", output);
        Assert.Matches($@"(?m)^{Cart} +yes +shop/p +r.yaml:1 +allowed$", output);
        Assert.Contains("WARNING: shop/p names", output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("token", "create", "--serves", "cart")]
    [InlineData("token", "create", "--identity", "x", "--ttl", "soon")]
    [InlineData("token", "create", "--identity", "x", "--ttl", "0s")]
    [InlineData("authz", "check", "GET", "/")]
    [InlineData("authz", "check", "--to", "cart", "GET")]
    [InlineData("authz", "check", "--to", "cart", "--who-can", "--from", "x")]
    [InlineData("authz", "check", "--to", "cart", "GET", "/", "--header", "novalue")]
    [InlineData("identity", "revoke")]
    [InlineData("identity", "fetch", "--out", "/tmp/x")]
    public async Task What_is_not_whole_is_refused_with_2(params string[] arguments)
    {
        var (code, _, error) = await Meshctl.RunAsync(arguments);

        Assert.Equal(2, code);
        Assert.StartsWith("meshctl: ", error, StringComparison.Ordinal);
    }

    private static Task OperatorsPage(Microsoft.AspNetCore.Http.HttpContext http, RotationStatus rotation) =>
        Microsoft.AspNetCore.Http.HttpResponseJsonExtensions.WriteAsJsonAsync(http.Response, Authority(rotation), OperatorsJson.Default.AuthorityStatus);

    private static AuthorityStatus Authority(RotationStatus? rotation) => new()
    {
        TrustDomain = "cluster.local",
        Store = "folder /var/lib/mesh",
        CertificateLifetimeSeconds = 86400,
        Roots = [new AuthorityCertificate { Subject = "CN=root", Sha256 = "aa", NotBefore = Now.AddHours(-2), NotAfter = Now.AddDays(3650).AddHours(1) }],
        Issuers = [new AuthorityCertificate { Subject = "CN=issuing", Sha256 = "bb", NotBefore = Now.AddHours(-2), NotAfter = Now.AddDays(365).AddHours(1), Active = true }],
        Rotation = rotation,
    };
}
