using System.Net.Http.Json;
using Mesh.Api.Operators;
using Mesh.ControlPlane.Tests.Identity;
using Mesh.Tests;

namespace Mesh.ControlPlane.Tests.Admin.Authz;

/// <summary><c>POST /api/authz/check</c> over real HTTP: the live policies, the place of the rule, and who may ask.</summary>
public sealed class AuthorizationCheckHttpTests : IDisposable
{
    private const string Rules = """
        apiVersion: v1
        kind: Service
        metadata: {name: cart, namespace: shop}
        spec: {selector: {app: cart}, ports: [{port: 8080, appProtocol: http}]}
        ---
        apiVersion: security.istio.io/v1
        kind: AuthorizationPolicy
        metadata: {name: callers, namespace: shop}
        spec:
          selector: {matchLabels: {app: cart}}
          rules:
          - from: [{source: {serviceAccounts: [web]}}]
            to: [{operation: {methods: [GET]}}]
            when: [{key: "request.headers[x-channel]", values: [app]}]
        """;

    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public async Task The_live_policies_answer_with_the_place_of_the_rule()
    {
        File.WriteAllText(folder["authz.yaml"], Rules);
        await using var mesh = await IdentityTestbed.StartAsync(o => o with { Rules = folder.Path });
        var question = new AuthorizationQuestion { From = "ns/shop/sa/web", To = "cart.shop:8080", Method = "GET", Path = "/", Headers = new Dictionary<string, string> { ["X-Channel"] = "app" } };
        await Eventually.HoldsAsync(async () => await AskAsync(mesh, question, 200) is { Verdicts: [{ Allowed: true }] }, "the rules are read");
        var verdict = Assert.Single((await AskAsync(mesh, question, 200))!.Verdicts);
        Assert.Equal("shop/callers", verdict.Policy);
        Assert.EndsWith("authz.yaml:12", verdict.Location);
        Assert.Equal("spiffe://cluster.local/ns/shop/sa/web", verdict.From);

        Assert.False(Assert.Single((await AskAsync(mesh, question with { Method = "POST" }, 200))!.Verdicts).Allowed);
        Assert.False(Assert.Single((await AskAsync(mesh, new AuthorizationQuestion { From = question.From, To = question.To, Method = "GET", Path = "/" }, 200))!.Verdicts).Allowed);
        // The identities the mesh knows: that of the service, and none.
        Assert.Equal(["spiffe://cluster.local/ns/shop/sa/cart", ""], (await AskAsync(mesh, question with { WhoCan = true }, 200))!.Verdicts.Select(v => v.From));
        Assert.Null(await AskAsync(mesh, question with { To = "crat.shop:8080" }, 400));

        // A change of the file is the next answer.
        File.WriteAllText(folder["authz.yaml"], Rules.Replace("[GET]", "[POST]", StringComparison.Ordinal));
        await Eventually.HoldsAsync(async () => await AskAsync(mesh, question, 200) is { Verdicts: [{ Allowed: false }] }, "the changed rule");
    }

    [Fact]
    public async Task Only_operators_may_ask()
    {
        await using var mesh = await IdentityTestbed.StartAsync();
        var question = new AuthorizationQuestion { To = "cart" };
        Assert.Null(await AskAsync(mesh, question, 401, role: null));
        Assert.Null(await AskAsync(mesh, question, 400)); // there is no such service, and the role view may ask
    }

    private static async Task<AuthorizationAnswer?> AskAsync(IdentityTestbed mesh, AuthorizationQuestion question, int expected, string? role = OperatorsFiles.ViewToken)
    {
        using var answer = await mesh.OperateAsync(HttpMethod.Post, OperatorsApi.AuthorizationCheck, JsonContent.Create(question, OperatorsJson.Default.AuthorizationQuestion), role);
        Assert.True((int)answer.StatusCode == expected || (expected == 200 && (int)answer.StatusCode is 400 or 503), $"{answer.StatusCode}: {await answer.Content.ReadAsStringAsync()}");
        return answer.IsSuccessStatusCode ? await answer.Content.ReadFromJsonAsync(OperatorsJson.Default.AuthorizationAnswer) : null;
    }
}
