using System.Security.Cryptography;
using Mesh.Api.Grpc;
using Mesh.Api.Identity;
using Mesh.Api.Identity.Agent;
using Mesh.Api.Logging;
using Mesh.Api.Operators;
using Mesh.ControlPlane.Identity;
using Mesh.ControlPlane.Identity.Authority;
using Mesh.Tests;

namespace Mesh.ControlPlane.Tests.Identity;

/// <summary>Whole control planes with what is special about their identity: kept in Consul, brought by the operator, short lives, a store that is away.</summary>
public sealed class SharedAuthorityTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [SkippableFact]
    public async Task Two_control_planes_on_one_consul_share_authority_tokens_and_revocations()
    {
        await using var consul = await ConsulProcess.StartAsync();
        var seal = SealKey();
        await using var mesh = await IdentityTestbed.StartAsync(o => o with { Consul = consul.Address, Identity = o.Identity with { SealKeyFile = seal } });
        await using var other = await IdentityTestbed.StartAsync(o => o with { Consul = consul.Address, Identity = o.Identity with { SealKeyFile = seal } });
        Assert.Equal(mesh.Roots.Fingerprint, other.Roots.Fingerprint);

        // A token of one is taken by the other, once.
        var token = await mesh.TokenAsync("ns/shop/sa/cart", "cart");
        using var there = other.Client();
        using var svid = await there.ObtainAsync(token);
        using var here = mesh.Client();
        Assert.Contains("used already", (await Assert.ThrowsAsync<GrpcException>(() => here.ObtainAsync(token))).Status.Message);

        // A certificate of one is good at the other, until the one revokes it.
        using var renewing = mesh.Client(svid);
        using var renewed = await renewing.ObtainAsync();
        await other.RevokeAsync("ns/shop/sa/cart");
        await Eventually.HoldsAsync(async () =>
        {
            using var client = mesh.Client(svid);
            try
            {
                await client.ObtainAsync();
                return false;
            }
            catch (GrpcException)
            {
                return true;
            }
        }, "the revocation is known at the other control plane");
        Assert.False(Directory.Exists(Path.Combine(mesh.Data, "identity", "ca")));
    }

    [SkippableFact]
    public async Task Another_seal_key_is_an_error_at_the_start()
    {
        await using var consul = await ConsulProcess.StartAsync();
        await using var mesh = await IdentityTestbed.StartAsync(o => o with { Consul = consul.Address, Identity = o.Identity with { SealKeyFile = SealKey() } });
        var e = await Assert.ThrowsAsync<StartException>(() => IdentityTestbed.StartAsync(o => o with { Consul = consul.Address, Identity = o.Identity with { SealKeyFile = SealKey() } }));
        Assert.Contains("--ca-seal-key-file", e.Message);
    }

    [SkippableFact]
    public async Task Certificates_are_renewed_while_consul_is_away_and_tokens_are_not_taken()
    {
        await using var consul = await ConsulProcess.StartAsync();
        await using var mesh = await IdentityTestbed.StartAsync(o => o with { Consul = consul.Address, Identity = o.Identity with { SealKeyFile = SealKey() } });
        using var svid = await mesh.JoinAsync("ns/shop/sa/cart");
        var token = await mesh.TokenAsync("ns/shop/sa/web");
        await consul.StopAsync();
        using var client = mesh.Client(svid);
        using var renewed = await client.ObtainAsync();
        Assert.Equal(svid.Id, renewed.Id);
        using var joining = mesh.Client();
        Assert.Equal(GrpcStatusCode.Unavailable, (await Assert.ThrowsAsync<GrpcException>(() => joining.ObtainAsync(token))).Code);
    }

    [Fact]
    public async Task The_operators_own_authority_issues()
    {
        var root = CertificateForms.NewRoot("cluster.local", TimeProvider.System.GetUtcNow(), TimeSpan.FromDays(100));
        var issuer = CertificateForms.NewIssuer(root, "cluster.local", TimeProvider.System.GetUtcNow(), TimeSpan.FromDays(10));
        File.WriteAllText(folder["ca.crt"], CertificatePem.Write([root.Certificate]));
        File.WriteAllText(folder["tls.crt"], CertificatePem.Write([issuer.Certificate]));
        File.WriteAllText(folder["tls.key"], issuer.KeyPem());
        File.SetUnixFileMode(folder["tls.key"], UnixFileMode.UserRead | UnixFileMode.UserWrite);
        await using var mesh = await IdentityTestbed.StartAsync(o => o with { Identity = o.Identity with { AuthorityFolder = folder.Path } });
        using var svid = await mesh.JoinAsync("ns/shop/sa/cart");
        Assert.True(new SvidVerifier(TimeProvider.System).Verify(svid.Certificate, svid.Chain, new TrustBundle("cluster.local", [root.Certificate])).Ok);

        using var status = await mesh.OperateAsync(HttpMethod.Get, OperatorsApi.Authority);
        Assert.Contains("your issuing certificate ends at", await status.Content.ReadAsStringAsync());
        using var rotated = await mesh.OperateAsync(HttpMethod.Post, OperatorsApi.Rotation, System.Net.Http.Json.JsonContent.Create(new RotationRequest(false), OperatorsJson.Default.RotationRequest));
        Assert.Equal(409, (int)rotated.StatusCode);
    }

    [Fact]
    public async Task A_pod_joins_with_its_projected_token_by_the_real_agent()
    {
        using var rsa = RSA.Create(2048);
        var parameters = rsa.ExportParameters(false);
        File.WriteAllText(folder["jwks"], $$"""{"keys":[{"kty":"RSA","kid":"k","use":"sig","n":"{{Base64Url.Encode(parameters.Modulus)}}","e":"{{Base64Url.Encode(parameters.Exponent)}}"}]}""");
        await using var mesh = await IdentityTestbed.StartAsync(o => o with { Identity = o.Identity with { KubernetesKeys = folder["jwks"] } });
        var signed = Base64Url.Encode("""{"alg":"RS256","kid":"k"}"""u8) + "." + Base64Url.Encode(System.Text.Encoding.UTF8.GetBytes(
            $$"""{"iss":"kubernetes","sub":"system:serviceaccount:shop:cart","aud":["istio-ca"],"exp":{{TimeProvider.System.GetUtcNow().ToUnixTimeSeconds() + 600}}}"""));
        File.WriteAllText(folder["token"], $"{signed}.{Base64Url.Encode(rsa.SignData(System.Text.Encoding.ASCII.GetBytes(signed), HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1))}");
        File.WriteAllText(folder["roots.pem"], mesh.Roots.ToPem());
        var agent = new IdentityAgent(
            new IdentityAgentOptions { ControlPlane = mesh.MeshApi, KubeTokenFile = folder["token"], CaFile = folder["roots.pem"] }, Log.Silent, TimeProvider.System, new Random(1));
        using var stop = new CancellationTokenSource();
        var running = agent.RunAsync(stop.Token);
        var credentials = await agent.CertifiedAsync(CancellationToken.None).WaitAsync(TimeSpan.FromSeconds(30));
        Assert.Equal("spiffe://cluster.local/ns/shop/sa/cart", credentials.Svid.Id.ToString());
        await stop.CancelAsync();
        await running;
    }

    [Fact]
    public async Task The_control_planes_own_certificate_renews_itself()
    {
        await using var mesh = await IdentityTestbed.StartAsync(o => o with { Identity = new IdentityOptions { Lifetimes = new Lifetimes { Leaf = TimeSpan.FromSeconds(4), ShortestLeaf = TimeSpan.FromSeconds(1) } } });
        var first = TimeProvider.System.GetTimestamp();
        while (TimeProvider.System.GetElapsedTime(first) < TimeSpan.FromSeconds(12))
        {
            using var svid = await mesh.JoinAsync("ns/shop/sa/cart");
            Assert.True(svid.NotAfter > TimeProvider.System.GetUtcNow());
            // Slower than the rate at which one address gets certificates.
            await Task.Delay(TimeSpan.FromMilliseconds(60));
        }
    }

    [Fact]
    public async Task A_connection_whose_certificate_ended_is_asked_to_connect_again()
    {
        await using var mesh = await IdentityTestbed.StartAsync(o => o with { Identity = new IdentityOptions { Lifetimes = new Lifetimes { Leaf = TimeSpan.FromSeconds(4), ShortestLeaf = TimeSpan.FromSeconds(1) } } });
        using var svid = await mesh.JoinAsync("ns/shop/sa/cart");
        using var client = mesh.Client(svid);
        using (await client.ObtainAsync())
        {
            // The connection is up.
        }

        await Eventually.HoldsAsync(() => TimeProvider.System.GetUtcNow() > svid.NotAfter, "the end of the certificate");
        var e = await Assert.ThrowsAsync<GrpcException>(() => client.ObtainAsync());
        Assert.Equal(GrpcStatusCode.Unavailable, e.Code);
    }

    [Fact]
    public async Task An_authority_that_was_lost_is_not_replaced_in_silence()
    {
        await using var mesh = await IdentityTestbed.StartAsync();
        var path = Path.Combine(mesh.Data, "identity", "ca", "authority");
        File.Move(path, folder["backup"]);
        var e = await Assert.ThrowsAsync<StartException>(mesh.StartAnotherAsync);
        Assert.Contains("bring it back from a backup", e.Message);
        File.Move(folder["backup"], path);
        await using var another = await mesh.StartAnotherAsync();
    }

    [Fact]
    public async Task What_ends_soon_is_warned_of()
    {
        await using var fine = await IdentityTestbed.StartAsync();
        using var good = await fine.OperateAsync(HttpMethod.Get, OperatorsApi.Authority);
        Assert.Contains("\"warnings\":[]", await good.Content.ReadAsStringAsync());
        await using var mesh = await IdentityTestbed.StartAsync(o => o with { Identity = new IdentityOptions { Lifetimes = new Lifetimes { Root = TimeSpan.FromDays(100) } } });
        using var status = await mesh.OperateAsync(HttpMethod.Get, OperatorsApi.Authority);
        var text = await status.Content.ReadAsStringAsync();
        Assert.Contains("in 100 days: meshctl ca rotate", text);
    }

    private string SealKey()
    {
        var path = folder[$"{Guid.NewGuid():n}.key"];
        SecureFiles.CreateNew(path, System.Text.Encoding.ASCII.GetBytes(Convert.ToBase64String(RandomNumberGenerator.GetBytes(32))));
        return path;
    }
}
