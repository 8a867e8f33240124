using System.Collections.Immutable;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using Mesh.Api.Operators;
using Mesh.ControlPlane.Admin.Login;
using Mesh.ControlPlane.Tests.Identity;
using Mesh.Tests;

namespace Mesh.ControlPlane.Tests.Admin.Login;

/// <summary>Nobody is answered by the operators' API who has not logged in, wherever he is.</summary>
public sealed class LoginTests
{
    private static readonly string[] Paths =
        [OperatorsApi.Nodes, OperatorsApi.Services, OperatorsApi.Stat, OperatorsApi.Edges, OperatorsApi.Identities, OperatorsApi.Revocations, OperatorsApi.Authority, "/debug/world", "/debug/nodes"];

    [Fact]
    public async Task The_tokens_are_made_once_for_their_owner_alone()
    {
        await using var mesh = await IdentityTestbed.StartAsync();
        var admin = await File.ReadAllTextAsync(Path.Combine(mesh.Data, OperatorsFiles.AdminToken));
        foreach (var file in (string[])[OperatorsFiles.AdminToken, OperatorsFiles.ViewToken])
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(Path.Combine(mesh.Data, file)));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute, File.GetUnixFileMode(Path.Combine(mesh.Data, "operators")));
        Assert.NotEqual(admin, await File.ReadAllTextAsync(Path.Combine(mesh.Data, OperatorsFiles.ViewToken)));
        await mesh.RestartAsync();
        Assert.Equal(admin, await File.ReadAllTextAsync(Path.Combine(mesh.Data, OperatorsFiles.AdminToken)));
    }

    [Fact]
    public async Task Roles_see_or_change()
    {
        await using var mesh = await IdentityTestbed.StartAsync();
        foreach (var path in Paths)
        {
            using var seen = await mesh.OperateAsync(HttpMethod.Get, path, role: OperatorsFiles.ViewToken);
            Assert.True(seen.IsSuccessStatusCode, path);
        }

        foreach (var (method, path, body) in Changes())
        {
            using var refused = await mesh.OperateAsync(method, path, body, OperatorsFiles.ViewToken);
            Assert.Equal(403, (int)refused.StatusCode);
            Assert.Contains("needs the role admin", await refused.Content.ReadAsStringAsync());
        }

        Assert.DoesNotContain("\"event\":\"revoked\"", Audit(mesh));
        foreach (var (method, path, body) in Changes())
        {
            using var done = await mesh.OperateAsync(method, path, body);
            Assert.True(done.IsSuccessStatusCode, $"{method} {path}: {await done.Content.ReadAsStringAsync()}");
        }

        Assert.Contains("\"event\":\"revoked\",\"identity\":\"spiffe://cluster.local/ns/shop/sa/cart\",\"by\":\"admin token\"", Audit(mesh));
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("Bearer")]
    [InlineData("Bearer ")]
    [InlineData("Bearer wrong")]
    [InlineData("Basic YWRtaW46YWRtaW4=")]
    [InlineData("Bearer {half}")]
    [InlineData("Bearer {double}")]
    [InlineData("{admin}")]
    public async Task What_is_no_token_is_refused_in_words(string? authorization)
    {
        await using var mesh = await IdentityTestbed.StartAsync();
        var admin = (await File.ReadAllTextAsync(Path.Combine(mesh.Data, OperatorsFiles.AdminToken))).Trim();
        var text = authorization?.Replace("{half}", admin[..^1], StringComparison.Ordinal).Replace("{double}", admin + admin, StringComparison.Ordinal).Replace("{admin}", admin, StringComparison.Ordinal);
        using var http = new HttpClient();
        using var request = new HttpRequestMessage(HttpMethod.Post, $"http://{mesh.Program.Addresses["operators"]}{OperatorsApi.Rotation}") { Content = JsonContent.Create(new RotationRequest(false), OperatorsJson.Default.RotationRequest) };
        if (text is not null) request.Headers.TryAddWithoutValidation("Authorization", text);
        using var answer = await http.SendAsync(request);
        Assert.Equal(401, (int)answer.StatusCode);
        Assert.Equal("Bearer", answer.Headers.WwwAuthenticate.ToString());
        var words = await answer.Content.ReadFromJsonAsync(OperatorsJson.Default.OperatorsError);
        Assert.NotEmpty(words!.Error);
        foreach (var path in Paths)
        {
            using var look = new HttpRequestMessage(HttpMethod.Get, $"http://{mesh.Program.Addresses["operators"]}{path}");
            if (text is not null) look.Headers.TryAddWithoutValidation("Authorization", text);
            using var unseen = await http.SendAsync(look);
            Assert.Equal(401, (int)unseen.StatusCode);
        }

        Assert.DoesNotContain(admin, words.Error);
    }

    [Fact]
    public async Task A_certificate_of_an_operator_logs_in_on_the_mesh_api()
    {
        await using var mesh = await IdentityTestbed.StartAsync(o => o with
        {
            OperatorCertificates = ImmutableDictionary<string, OperatorRole>.Empty
                .Add("spiffe://cluster.local/ns/ops/sa/alice", OperatorRole.Admin).Add("spiffe://cluster.local/ns/ops/sa/bob", OperatorRole.View),
        });
        Assert.Equal((200, 200), await AskAsync(mesh, "ns/ops/sa/alice"));
        Assert.Equal((200, 403), await AskAsync(mesh, "ns/ops/sa/bob"));
        Assert.Equal((403, 403), await AskAsync(mesh, "ns/shop/sa/cart"));
        Assert.Equal((401, 401), await AskAsync(mesh, null));
        Assert.Contains("\"by\":\"spiffe://cluster.local/ns/ops/sa/alice\"", Audit(mesh));
    }

    [Fact]
    public async Task A_token_is_no_login_on_the_mesh_api()
    {
        await using var mesh = await IdentityTestbed.StartAsync();
        var admin = (await File.ReadAllTextAsync(Path.Combine(mesh.Data, OperatorsFiles.AdminToken))).Trim();
        using var cart = await mesh.JoinAsync("ns/shop/sa/cart");
        Assert.Equal((403, 403), await AskAsync(mesh, cart, admin));
    }

    [Theory]
    [InlineData("/API/tokens")]
    [InlineData("/Api/Tokens")]
    [InlineData("/api/TOKENS")]
    [InlineData("/api/tokens/")]
    [InlineData("/%41pi/tokens")]
    [InlineData("/aPI/%54okens/")]
    public async Task A_workload_is_no_operator_however_it_spells_the_path(string path)
    {
        await using var mesh = await IdentityTestbed.StartAsync();
        using var cart = await mesh.JoinAsync("ns/shop/sa/cart");
        using var http = HttpOf(mesh, cart);
        using var made = await http.PostAsync(new Uri($"https://{mesh.MeshApi}{path}"), JsonContent.Create(new TokenRequest { Identity = "ns/bank/sa/vault" }, OperatorsJson.Default.TokenRequest));
        Assert.Equal(403, (int)made.StatusCode);
        Assert.DoesNotContain("mesh1.", await made.Content.ReadAsStringAsync());
        using var seen = await http.GetAsync(new Uri($"https://{mesh.MeshApi}{path.Replace("okens", "x", StringComparison.OrdinalIgnoreCase)}"));
        Assert.Equal(403, (int)seen.StatusCode);
        using var world = await http.GetAsync(new Uri($"https://{mesh.MeshApi}/Debug/World"));
        Assert.Equal(403, (int)world.StatusCode);
        Assert.DoesNotContain("ns/bank/sa/vault", Audit(mesh));
    }

    [Theory]
    [InlineData("short")]
    [InlineData("")]
    public void A_token_somebody_could_guess_is_refused(string token)
    {
        using var folder = new TemporaryFolder();
        OperatorTokens.Open(folder.Path);
        File.WriteAllText(folder[OperatorsFiles.AdminToken], token);
        Assert.Contains("openssl rand", Assert.Throws<StartException>(() => OperatorTokens.Open(folder.Path)).Message);
    }

    [Fact]
    public void A_token_others_can_read_is_refused()
    {
        using var folder = new TemporaryFolder();
        OperatorTokens.Open(folder.Path);
        File.SetUnixFileMode(folder[OperatorsFiles.ViewToken], UnixFileMode.UserRead | UnixFileMode.OtherRead);
        Assert.Contains("chmod 600", Assert.Throws<StartException>(() => OperatorTokens.Open(folder.Path)).Message);
    }

    [Fact]
    public async Task A_web_page_changes_nothing()
    {
        await using var mesh = await IdentityTestbed.StartAsync();
        using var form = new StringContent("{\"identity\":\"ns/shop/sa/cart\"}", new MediaTypeHeaderValue("text/plain"));
        using var answer = await mesh.OperateAsync(HttpMethod.Post, OperatorsApi.Tokens, form);
        Assert.Equal(415, (int)answer.StatusCode);
        using var huge = new StringContent("{\"identity\":\"" + new string('x', 100_000) + "\"}", new MediaTypeHeaderValue("application/json"));
        using var refused = await mesh.OperateAsync(HttpMethod.Post, OperatorsApi.Tokens, huge);
        Assert.Equal(413, (int)refused.StatusCode);
    }

    private static IEnumerable<(HttpMethod Method, string Path, HttpContent? Body)> Changes()
    {
        yield return (HttpMethod.Post, OperatorsApi.Tokens, JsonContent.Create(new TokenRequest { Identity = "ns/shop/sa/cart" }, OperatorsJson.Default.TokenRequest));
        yield return (HttpMethod.Post, OperatorsApi.Revocations, JsonContent.Create(new RevocationRequest("ns/shop/sa/cart", "stolen"), OperatorsJson.Default.RevocationRequest));
        yield return (HttpMethod.Delete, OperatorsApi.Revocations + "?identity=ns/shop/sa/cart", null);
        yield return (HttpMethod.Post, OperatorsApi.Rotation, JsonContent.Create(new RotationRequest(Rehearse: true), OperatorsJson.Default.RotationRequest));
    }

    private static async Task<(int Seen, int Made)> AskAsync(IdentityTestbed mesh, string? identity)
    {
        using var own = identity is null ? null : await mesh.JoinAsync(identity);
        return await AskAsync(mesh, own, null);
    }

    private static async Task<(int Seen, int Made)> AskAsync(IdentityTestbed mesh, Mesh.Api.Identity.Svid? own, string? bearer)
    {
        using var http = HttpOf(mesh, own);
        if (bearer is not null) http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", bearer);
        using var seen = await http.GetAsync(new Uri($"https://{mesh.MeshApi}{OperatorsApi.Services}"));
        using var made = await http.PostAsync(new Uri($"https://{mesh.MeshApi}{OperatorsApi.Tokens}"), JsonContent.Create(new TokenRequest { Identity = "ns/shop/sa/x" }, OperatorsJson.Default.TokenRequest));
        return ((int)seen.StatusCode, (int)made.StatusCode);
    }

    private static HttpClient HttpOf(IdentityTestbed mesh, Mesh.Api.Identity.Svid? own) => new(new SocketsHttpHandler
    {
        SslOptions = new System.Net.Security.SslClientAuthenticationOptions
        {
            ClientCertificateContext = own?.TlsContext,
            RemoteCertificateValidationCallback = (_, leaf, chain, _) => new Mesh.Api.Identity.SvidVerifier(TimeProvider.System).Verify(leaf, chain, mesh.Roots).Ok,
        },
    })
    {
        DefaultRequestVersion = System.Net.HttpVersion.Version20,
        DefaultVersionPolicy = HttpVersionPolicy.RequestVersionExact,
    };

    private static string Audit(IdentityTestbed mesh) => File.ReadAllText(Path.Combine(mesh.Data, "identity", "audit.log"));
}
