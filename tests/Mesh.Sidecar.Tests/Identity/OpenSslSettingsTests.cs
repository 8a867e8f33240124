using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Mesh.Sidecar.Identity;

namespace Mesh.Sidecar.Tests.Identity;

/// <summary>What OpenSSL is told arrives on this runtime and library, which nobody promises.</summary>
public sealed class OpenSslSettingsTests
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task NoTicketIsHandedOutAndBothEndsGoOnTalking(bool applied)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using var certificate = new CertificateRequest("CN=test", key, HashAlgorithmName.SHA256).CreateSelfSigned(DateTimeOffset.UnixEpoch, new DateTimeOffset(2100, 1, 1, 0, 0, 0, TimeSpan.Zero));
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        using var near = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        var accepting = listener.AcceptSocketAsync();
        await near.ConnectAsync((IPEndPoint)listener.LocalEndpoint);
        using var far = await accepting;
        var (nearWire, farWire) = (new TlsSocketStream(near), new TlsSocketStream(far));
        await using var client = new SslStream(nearWire);
        await using var server = new SslStream(farWire);
        if (applied)
        {
            nearWire.InHandshake = () => OpenSslSettings.Apply(client);
            farWire.InHandshake = () => OpenSslSettings.Apply(server);
        }

        await Task.WhenAll(
            server.AuthenticateAsServerAsync(new SslServerAuthenticationOptions { ServerCertificate = certificate, AllowTlsResume = false, EnabledSslProtocols = System.Security.Authentication.SslProtocols.Tls13 }),
            client.AuthenticateAsClientAsync(new SslClientAuthenticationOptions { TargetHost = "test", RemoteCertificateValidationCallback = (_, _, _, _) => true }));

        // Told on both ends, and forgotten.
        Assert.Null(nearWire.InHandshake);
        Assert.Null(farWire.InHandshake);
        Assert.Equal(applied, near.Available == 0); // tickets come with the end of the handshake
        var sent = RandomNumberGenerator.GetBytes(200_000);
        var got = new byte[sent.Length];
        foreach (var (from, to) in new[] { (server, client), (client, server), (server, client) })
        {
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
        Assert.False(OpenSslSettings.Apply(stream));
    }
}
