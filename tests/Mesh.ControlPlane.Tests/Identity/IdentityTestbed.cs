using System.Net.Http.Headers;
using System.Net.Http.Json;
using Mesh.Api.Identity;
using Mesh.Api.Operators;
using Mesh.Tests;

namespace Mesh.ControlPlane.Tests.Identity;

/// <summary>A control plane in this process with its mesh API on a free port, its operators' token at hand. Restarts keep the data folder.</summary>
internal sealed class IdentityTestbed : IAsyncDisposable
{
    private readonly TemporaryFolder folder = new();
    private readonly Func<Options, Options> change;
    private readonly HttpClient http = new();

    private IdentityTestbed(Func<Options, Options>? change) => this.change = change ?? (options => options);

    public ControlPlaneProgram Program { get; private set; } = null!;

    public string Data => folder["data"];

    public string MeshApi => Program.Addresses["meshApi"];

    /// <summary>The roots as another operator would copy them.</summary>
    public TrustBundle Roots { get; private set; } = null!;

    public static async Task<IdentityTestbed> StartAsync(Func<Options, Options>? change = null)
    {
        var made = new IdentityTestbed(change);
        await made.LaunchAsync();
        return made;
    }

    public async Task RestartAsync()
    {
        await Program.DisposeAsync();
        await LaunchAsync();
    }

    /// <summary>Another control plane with the same data folder, as a second replica on one machine.</summary>
    public Task<ControlPlaneProgram> StartAnotherAsync() => ProgramTests.StartAsync(o => change(o with { Data = Data, MeshApi = [ListenAddress.Parse("127.0.0.1:0")] }));

    /// <summary>A client with a certificate, or none.</summary>
    public MeshApiClient Client(Svid? own = null) => new(MeshApi, Roots, own);

    /// <summary>A join token from the operators' API.</summary>
    public async Task<string> TokenAsync(string identity, params string[] serves)
    {
        using var answer = await OperateAsync(HttpMethod.Post, OperatorsApi.Tokens, JsonContent.Create(new TokenRequest { Identity = identity, Serves = serves }, OperatorsJson.Default.TokenRequest));
        Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync());
        return (await answer.Content.ReadFromJsonAsync(OperatorsJson.Default.IssuedToken))!.Token;
    }

    /// <summary>A certificate by way of a join token.</summary>
    public async Task<Svid> JoinAsync(string identity, params string[] serves)
    {
        using var client = Client();
        return await client.ObtainAsync(await TokenAsync(identity, serves));
    }

    /// <summary>Asks the operators' API; <paramref name="role"/> names the token file.</summary>
    public async Task<HttpResponseMessage> OperateAsync(HttpMethod method, string path, HttpContent? body = null, string? role = OperatorsFiles.AdminToken)
    {
        using var request = new HttpRequestMessage(method, $"http://{Program.Addresses["operators"]}{path}") { Content = body };
        if (role is not null) request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", (await File.ReadAllTextAsync(Path.Combine(Data, role))).Trim());
        return await http.SendAsync(request);
    }

    public async Task RevokeAsync(string identity)
    {
        using var answer = await OperateAsync(HttpMethod.Post, OperatorsApi.Revocations, JsonContent.Create(new RevocationRequest(identity, "a test"), OperatorsJson.Default.RevocationRequest));
        Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync());
    }

    public async Task RestoreAsync(string identity)
    {
        using var answer = await OperateAsync(HttpMethod.Delete, $"{OperatorsApi.Revocations}?identity={identity}");
        Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync());
    }

    public async ValueTask DisposeAsync()
    {
        await Program.DisposeAsync();
        http.Dispose();
        folder.Dispose();
    }

    private async Task LaunchAsync()
    {
        Program = await ProgramTests.StartAsync(o => change(o with { Data = Data, MeshApi = [ListenAddress.Parse("127.0.0.1:0")] }));
        Roots = await RootsAsync();
    }

    // As a person with the data folder in hand: the roots are in the handshake of the control plane's own certificate.
    private async Task<TrustBundle> RootsAsync()
    {
        var token = JoinToken.TryRead(await TokenAsync("ns/default/sa/roots"), out var read, out _) ? read : throw new InvalidOperationException();
        using var probe = new System.Net.Sockets.TcpClient();
        await probe.ConnectAsync(System.Net.IPEndPoint.Parse(MeshApi));
        TrustBundle? found = null;
        await using var tls = new System.Net.Security.SslStream(probe.GetStream(), leaveInnerStreamOpen: false, (_, leaf, _, _) =>
        {
            Assert.True(RootsExtension.Read((System.Security.Cryptography.X509Certificates.X509Certificate2)leaf!, out var roots, out _));
            found = new TrustBundle("cluster.local", roots.Where(r => TrustBundle.Sha256(r) == token.Root));
            return true;
        });
        await tls.AuthenticateAsClientAsync(new System.Net.Security.SslClientAuthenticationOptions { TargetHost = "mesh", ApplicationProtocols = [System.Net.Security.SslApplicationProtocol.Http2] });
        return found!;
    }
}
