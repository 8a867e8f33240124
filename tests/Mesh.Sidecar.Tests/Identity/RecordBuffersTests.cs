using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Mesh.Sidecar.Identity;

namespace Mesh.Sidecar.Tests.Identity;

/// <summary>OpenSSL's buffers of a connection are given back on this runtime and library, which nobody promises.</summary>
public sealed class RecordBuffersTests
{
    [Fact]
    public async Task BothEndsGiveThemBackAndGoOnTalking()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using var certificate = new CertificateRequest("CN=test", key, HashAlgorithmName.SHA256).CreateSelfSigned(DateTimeOffset.UnixEpoch, new DateTimeOffset(2100, 1, 1, 0, 0, 0, TimeSpan.Zero));
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        using var near = new TcpClient();
        var accepting = listener.AcceptTcpClientAsync();
        await near.ConnectAsync((IPEndPoint)listener.LocalEndpoint);
        using var far = await accepting;
        await using var client = new SslStream(near.GetStream());
        await using var server = new SslStream(far.GetStream());
        await Task.WhenAll(
            server.AuthenticateAsServerAsync(new SslServerAuthenticationOptions { ServerCertificate = certificate, AllowTlsResume = false }),
            client.AuthenticateAsClientAsync(new SslClientAuthenticationOptions { TargetHost = "test", RemoteCertificateValidationCallback = (_, _, _, _) => true }));

        Assert.True(RecordBuffers.ReleaseWhenEmpty(client));
        Assert.True(RecordBuffers.ReleaseWhenEmpty(server));
        var sent = RandomNumberGenerator.GetBytes(200_000);
        var got = new byte[sent.Length];
        for (var turn = 0; turn < 2; turn++)
        {
            var (from, to) = turn == 0 ? (client, server) : (server, client);
            var sending = from.WriteAsync(sent).AsTask();
            await to.ReadExactlyAsync(got);
            await sending;
            Assert.Equal(sent, got);
        }
    }

    [Fact]
    public void AStreamWithoutAHandshakeIsLeftAlone()
    {
        using var stream = new SslStream(new MemoryStream());
        Assert.False(RecordBuffers.ReleaseWhenEmpty(stream));
    }
}
