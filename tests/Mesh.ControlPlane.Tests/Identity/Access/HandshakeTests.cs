using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Mesh.Api.Identity;
using Mesh.ControlPlane.Identity.Access;
using Mesh.ControlPlane.Identity.Authority;
using Mesh.Tests;

namespace Mesh.ControlPlane.Tests.Identity.Access;

/// <summary>What the mesh API's port takes as a handshake, and what it does with those who say nothing.</summary>
public sealed class HandshakeTests
{
    [Theory]
    [InlineData(SslProtocols.Tls12, "h2")]
    [InlineData(SslProtocols.Tls13, "http/1.1")]
    [InlineData(SslProtocols.Tls13, "istio-h2")]
    public async Task Only_tls_13_and_http2_are_spoken(SslProtocols version, string alpn)
    {
        await using var mesh = await IdentityTestbed.StartAsync();
        await Assert.ThrowsAnyAsync<Exception>(() => HelloAsync(mesh, version, alpn));
        await HelloAsync(mesh, SslProtocols.Tls13, "h2");
    }

    [Fact]
    public async Task Plaintext_and_silence_end()
    {
        await using var mesh = await IdentityTestbed.StartAsync();
        using var plain = await ConnectAsync(mesh);
        await plain.GetStream().WriteAsync("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"u8.ToArray());
        await AssertEndsAsync(plain.GetStream());
        using var silent = await ConnectAsync(mesh);
        await AssertEndsAsync(silent.GetStream());
    }

    [Fact]
    public async Task A_connection_without_a_certificate_is_short_whatever_it_does()
    {
        var time = new ManualTimeProvider();
        using var folder = new TemporaryFolder();
        var connections = new CallerConnections(new Mesh.ControlPlane.Identity.Authority.CertificateAuthority("cluster.local", new(), time), new Mesh.ControlPlane.Identity.Records.Revocations(new Mesh.ControlPlane.Identity.Stores.FolderStore(folder["identity"], time), time, Mesh.Api.Logging.Log.Silent), time);
        var connection = new Microsoft.AspNetCore.Connections.DefaultConnectionContext();
        var serving = connections.ServeAsync(connection, c => Task.Delay(Timeout.Infinite, c.ConnectionClosed));
        Assert.False(connection.ConnectionClosed.IsCancellationRequested);
        time.Advance(CallerConnections.NamelessFor);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => serving.WaitAsync(TimeSpan.FromSeconds(30)));
    }

    [Fact]
    public async Task One_address_without_a_certificate_does_not_take_the_place_of_others()
    {
        var time = new ManualTimeProvider();
        using var folder = new TemporaryFolder();
        var connections = new CallerConnections(new Mesh.ControlPlane.Identity.Authority.CertificateAuthority("cluster.local", new(), time), new Mesh.ControlPlane.Identity.Records.Revocations(new Mesh.ControlPlane.Identity.Stores.FolderStore(folder["identity"], time), time, Mesh.Api.Logging.Log.Silent), time);
        var flood = Enumerable.Range(0, 3000).Select(_ => Open("192.0.2.1")).ToArray();
        Assert.Equal(CallerConnections.MostOfAddress, flood.Count(one => !one.IsCompleted));
        var other = Open("192.0.2.2");
        Assert.False(other.IsCompleted);
        time.Advance(CallerConnections.NamelessFor);
        foreach (var one in flood.Append(other)) await one.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
        Assert.False(Open("192.0.2.1").IsCompleted);

        Task Open(string address) => connections.ServeAsync(
            new Microsoft.AspNetCore.Connections.DefaultConnectionContext { RemoteEndPoint = new System.Net.IPEndPoint(System.Net.IPAddress.Parse(address), 1) },
            c => Task.Delay(Timeout.Infinite, c.ConnectionClosed));
    }

    public static TheoryData<string> BadCertificates() => ["self-signed", "other authority, same names", "two URIs", "DNS name that spells the ID", "authority as leaf", "expired", "server only"];

    [Theory]
    [MemberData(nameof(BadCertificates))]
    public async Task A_certificate_that_proves_nothing_opens_nothing(string how)
    {
        await using var mesh = await IdentityTestbed.StartAsync();
        using var bad = Forge(how);
        await Assert.ThrowsAnyAsync<Exception>(async () =>
        {
            await using var tls = await HelloAsync(mesh, SslProtocols.Tls13, "h2", bad);
            // With TLS 1.3 the client hears of it when it reads.
            await tls.WriteAsync("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u0004\0\0\0\0\0"u8.ToArray());
            var buffer = new byte[1];
            if (await tls.ReadAsync(buffer) == 0) throw new IOException("closed");
            Assert.Fail("it was answered");
        });
    }

    private static X509Certificate2 Forge(string how)
    {
        var now = TimeProvider.System.GetUtcNow();
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var root = CertificateForms.NewRoot("cluster.local", now, TimeSpan.FromDays(10));
        var id = SpiffeId.Parse("spiffe://cluster.local/ns/shop/sa/cart");
        var request = CertificateForms.Leaf(id, new PublicKey(key), root);
        switch (how)
        {
            case "self-signed":
                var own = new CertificateRequest("CN=self", key, HashAlgorithmName.SHA256);
                foreach (var extension in request.CertificateExtensions) own.CertificateExtensions.Add(extension);
                return own.CreateSelfSigned(now.AddMinutes(-1), now.AddHours(1));
            case "two URIs":
                var names = new SubjectAlternativeNameBuilder();
                names.AddUri(new Uri(id.ToString()));
                names.AddUri(new Uri("spiffe://cluster.local/ns/shop/sa/web"));
                Replace(request, names.Build(critical: true));
                break;
            case "DNS name that spells the ID":
                var dns = new SubjectAlternativeNameBuilder();
                dns.AddDnsName("spiffe.cluster.local.ns.shop.sa.cart");
                Replace(request, dns.Build(critical: true));
                break;
            case "authority as leaf":
                request.CertificateExtensions.RemoveAt(0);
                request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
                break;
            case "server only":
                request.CertificateExtensions.Remove(request.CertificateExtensions.OfType<X509EnhancedKeyUsageExtension>().Single());
                request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new Oid("1.3.6.1.5.5.7.3.1")], critical: true));
                break;
        }

        var until = how == "expired" ? now.AddSeconds(-10) : now.AddHours(1);
        using var leaf = root.Sign(request, now.AddMinutes(-1), until, CertificateForms.NewSerial());
        return leaf.CopyWithPrivateKey(key);
    }

    private static void Replace(CertificateRequest request, X509Extension names)
    {
        request.CertificateExtensions.Remove(request.CertificateExtensions.Single(e => e.Oid?.Value == names.Oid!.Value));
        request.CertificateExtensions.Add(names);
    }

    private static async Task<TcpClient> ConnectAsync(IdentityTestbed mesh)
    {
        var client = new TcpClient();
        await client.ConnectAsync(IPEndPoint.Parse(mesh.MeshApi));
        return client;
    }

    private static async Task<SslStream> HelloAsync(IdentityTestbed mesh, SslProtocols version, string alpn, X509Certificate2? own = null)
    {
        var tcp = await ConnectAsync(mesh);
        var tls = new SslStream(tcp.GetStream());
        await tls.AuthenticateAsClientAsync(new SslClientAuthenticationOptions
        {
            EnabledSslProtocols = version,
            ApplicationProtocols = [new SslApplicationProtocol(alpn)],
            ClientCertificateContext = own is null ? null : SslStreamCertificateContext.Create(own, null, offline: true),
            RemoteCertificateValidationCallback = (_, leaf, chain, _) => new SvidVerifier(TimeProvider.System).Verify(leaf, chain, mesh.Roots).Ok,
        });
        return tls;
    }

    private static async Task AssertEndsAsync(Stream stream)
    {
        try
        {
            var read = await stream.ReadAsync(new byte[1]).AsTask().WaitAsync(TimeSpan.FromSeconds(20));
            // An alert may come first.
            while (read > 0) read = await stream.ReadAsync(new byte[64]).AsTask().WaitAsync(TimeSpan.FromSeconds(20));
        }
        catch (IOException)
        {
            // Reset.
        }
    }
}
