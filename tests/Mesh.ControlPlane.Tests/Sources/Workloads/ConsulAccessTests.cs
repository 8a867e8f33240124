using System.Net;
using System.Net.Http.Json;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json;
using Mesh.Api.V1;
using Mesh.ControlPlane.Sources.Consul;
using Mesh.ControlPlane.Tests.Sources.Consul;
using Mesh.Tests;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Mesh.ControlPlane.Tests.Sources.Workloads;

/// <summary>Getting into Consul: ACL tokens, TLS with an authority of one's own, addresses as people write them.</summary>
public sealed class ConsulAccessTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("mesh-access-").FullName;

    [SkippableFact]
    public async Task With_acls_a_token_that_comes_later_makes_everything_work()
    {
        await using var consul = await ConsulProcess.StartWithAclAsync();
        var file = Path.Combine(folder, "token");
        await File.WriteAllTextAsync(file, "00000000-0000-0000-0000-000000000001");
        await using var replica = await TestReplica.StartAsync(new ConsulOptions { Address = consul.Address, TokenFile = file }, "r1");
        await using var workload = new TestWorkload(replica.Address);
        var ack = await workload.SendAsync(new WorkloadUpdate { Register = TestWorkload.Registration("web-1", "web") });
        Assert.Equal(WorkloadAck.Types.Status.Pending, ack.Status);
        Assert.Contains("403", ack.Message, StringComparison.Ordinal);
        await File.WriteAllTextAsync(file, consul.Token + "\n");
        File.SetLastWriteTimeUtc(file, new DateTime(2031, 1, 1, 0, 0, 0, DateTimeKind.Utc));
        Assert.Equal(WorkloadAck.Types.Status.Accepted, (await workload.ReadAsync())!.Status);
        await replica.HasAsync("web", "web-1");
        using var client = consul.CreateClient();
        await Eventually.PassesAsync(async () => Assert.Contains("mesh/replicas/r1", await client.GetStringAsync("/v1/kv/?keys"), StringComparison.Ordinal));
        Assert.False(replica.Output.Has(consul.Token!));
        Assert.False(replica.Output.Has("00000000-0000-0000-0000-000000000001"));
    }

    /// <summary>The policy that docs/consul.md gives is enough.</summary>
    [SkippableFact]
    public async Task The_documented_policy_is_enough()
    {
        await using var consul = await ConsulProcess.StartWithAclAsync();
        using var admin = consul.CreateClient();
        const string Rules = """
            node_prefix "" { policy = "read" }      service_prefix "" { policy = "write" }
            node_prefix "mesh-" { policy = "write" } key_prefix "mesh/" { policy = "write" }   session_prefix "" { policy = "write" }
            """;
        using var policy = await admin.PutAsync("/v1/acl/policy", JsonContent.Create(new { Name = "mesh", Rules }));
        policy.EnsureSuccessStatusCode();
        using var token = await admin.PutAsync("/v1/acl/token", JsonContent.Create(new { Policies = new[] { new { Name = "mesh" } } }));
        token.EnsureSuccessStatusCode();
        var secret = (await token.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("SecretID").GetString();
        await using var replica = await TestReplica.StartAsync(new ConsulOptions { Address = consul.Address, Token = secret }, "r1");
        await using var workload = await TestWorkload.RegisterAsync(replica, "web-1", "web");
        await Eventually.PassesAsync(async () => Assert.Contains("mesh/replicas/r1", await admin.GetStringAsync("/v1/kv/?keys"), StringComparison.Ordinal));
        await replica.Source.Synced.WaitAsync(TimeSpan.FromSeconds(10));
        await workload.SendAsync(new WorkloadUpdate { Leaving = new Leaving() });
        await Eventually.PassesAsync(async () => Assert.DoesNotContain("mesh-web-1", await admin.GetStringAsync("/v1/catalog/nodes"), StringComparison.Ordinal));
    }

    [Fact]
    public async Task Tls_is_checked_against_the_named_authority_only()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var ours = Authority("ours", key);
        await using var server = await ServeAsync(ours, key);
        var address = new Uri(server.Urls.Single());
        var file = Path.Combine(folder, "ca.pem");
        await File.WriteAllTextAsync(file, ours.ExportCertificatePem());
        using (var trusting = new ConsulClient(new ConsulOptions { Address = address, CaFile = file }, TimeProvider.System))
            Assert.True((await trusting.ReadAsync("/v1/catalog/services", ConsulJson.Default.DictionaryStringStringArray, default)).Found);

        using var otherKey = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        await File.WriteAllTextAsync(file, Authority("other", otherKey).ExportCertificatePem());
        foreach (var ca in (string?[])[file, null])
        {
            using var doubting = new ConsulClient(new ConsulOptions { Address = address, CaFile = ca }, TimeProvider.System);
            var refused = await Assert.ThrowsAsync<ConsulException>(() => doubting.ReadAsync("/v1/catalog/services", ConsulJson.Default.DictionaryStringStringArray, default));
            Assert.StartsWith("GET /v1/catalog/services: The SSL connection could not be established", refused.Message, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("nothing")]
    [InlineData("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")]
    public void A_ca_file_that_is_none_is_named(string content)
    {
        var file = Path.Combine(folder, "bad.pem");
        File.WriteAllText(file, content);
        var error = Assert.Throws<IOException>(() => new ConsulClient(new ConsulOptions { Address = new Uri("https://127.0.0.1:1"), CaFile = file }, TimeProvider.System));
        Assert.Contains(file, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("127.0.0.1:8500")]
    [InlineData("consul")]
    [InlineData("ftp://consul")]
    [InlineData("http://user:secret@consul:8500")]
    [InlineData("http://consul:8500?token=secret")]
    public void An_address_that_is_none_says_how_one_looks(string text)
    {
        var error = Assert.Throws<FormatException>(() => ConsulOptions.ParseAddress(text));
        Assert.DoesNotContain("secret", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Redirects_are_not_followed_with_the_token()
    {
        await using var thief = await FakeConsul.StartAsync();
        await using var fake = await FakeConsul.StartAsync();
        fake.Next("/v1/", 1, http =>
        {
            http.Response.Redirect(thief.Address + "v1/catalog/services");
            return Task.CompletedTask;
        });
        using var client = new ConsulClient(new ConsulOptions { Address = fake.Address, Token = "secret" }, TimeProvider.System);
        await Assert.ThrowsAsync<ConsulException>(() => client.ReadAsync("/v1/catalog/services", ConsulJson.Default.DictionaryStringStringArray, default));
        Assert.Empty(thief.Requests);
    }

    public void Dispose() => Directory.Delete(folder, recursive: true);

    private static X509Certificate2 Authority(string name, ECDsa key)
    {
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        return request.CreateSelfSigned(DateTimeOffset.UtcNow.AddHours(-1), DateTimeOffset.UtcNow.AddHours(1));
    }

    private static async Task<WebApplication> ServeAsync(X509Certificate2 issuer, ECDsa issuerKey)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=consul", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddIpAddress(IPAddress.Loopback);
        request.CertificateExtensions.Add(names.Build());
        using var issued = request.Create(issuer.SubjectName, X509SignatureGenerator.CreateForECDsa(issuerKey), DateTimeOffset.UtcNow.AddMinutes(-5), DateTimeOffset.UtcNow.AddMinutes(50), [1, 2, 3]);
        var certificate = issued.CopyWithPrivateKey(key);
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseKestrelHttpsConfiguration();
        builder.WebHost.ConfigureKestrel(k => k.Listen(IPAddress.Loopback, 0, l => l.UseHttps(certificate)));
        var app = builder.Build();
        app.Run(http =>
        {
            http.Response.ContentType = "application/json";
            return http.Response.WriteAsync("{}");
        });
        await app.StartAsync();
        return app;
    }
}
