using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Mesh.Sidecar.Identity;

namespace Mesh.Sidecar.Tests.Identity;

/// <summary>What OpenSSL is told arrives on this runtime and library, which nobody promises.</summary>
[Collection("alone")]
public sealed class OpenSslSettingsTests
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task NoTicketIsHandedOutAndBothEndsGoOnTalking(bool applied)
    {
        await using var ends = await Ends.ConnectAsync(applied);
        var (near, client, server) = (ends.Near, ends.Client, ends.Server);
        // Told on both ends, and forgotten.
        Assert.Null(ends.NearWire.InHandshake);
        Assert.Null(ends.FarWire.InHandshake);
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

    /// <summary>The runtime says the end without the lock of its reading, and OpenSSL reads in it: without ours this breaks the heap, and the process.</summary>
    [Fact]
    public Task AnEndThatIsSaidWhileBytesComeBreaksNothing() => Parallel.ForEachAsync(Enumerable.Range(0, 150), new ParallelOptions { MaxDegreeOfParallelism = 8 }, async (number, stop) =>
    {
        const int Pieces = 200;
        await using var ends = await Ends.ConnectAsync(applied: true);
        var client = new TlsTransport(ends.Client, ends.NearWire, ends.Near, null!);
        var sending = Task.Run(async () =>
        {
            for (var i = 0; i < Pieces; i++) await ends.Server.WriteAsync(Enumerable.Repeat((byte)i, 1 + (i * 7 % 3000)).ToArray(), stop);
            await ends.Server.ShutdownAsync();
        }, stop);
        var ending = Task.Run(async () =>
        {
            while (ends.Seen < number % 100 * 2_000) await Task.Yield();
            await client.EndSendingAsync();
        }, stop);
        var buffer = new byte[65536];
        var got = new List<byte>();
        while (await client.ReceiveAsync(buffer) is > 0 and var count)
        {
            got.AddRange(buffer.AsSpan(0, count));
            ends.Seen = got.Count;
        }

        ends.Seen = int.MaxValue;
        await Task.WhenAll(sending, ending);
        Assert.Equal(Enumerable.Range(0, Pieces).SelectMany(i => Enumerable.Repeat((byte)i, 1 + (i * 7 % 3000))), got);
    });

    [Fact]
    public void AStreamWithoutAHandshakeIsLeftAlone()
    {
        using var stream = new SslStream(new MemoryStream());
        Assert.False(OpenSslSettings.Apply(stream));
    }

    /// <summary>Both ends of a connection under TLS 1.3.</summary>
    private sealed class Ends : IAsyncDisposable
    {
        private static readonly X509Certificate2 Certificate = Make();

        private Ends(Socket near, Socket far)
        {
            (Near, NearWire, FarWire) = (near, new TlsSocketStream(near), new TlsSocketStream(far));
            (Client, Server) = (new SslStream(NearWire), new SslStream(FarWire));
        }

        public Socket Near { get; }

        public TlsSocketStream NearWire { get; }

        public TlsSocketStream FarWire { get; }

        public SslStream Client { get; }

        public SslStream Server { get; }

        /// <summary>Bytes that the client has.</summary>
        public volatile int Seen;

        public static async Task<Ends> ConnectAsync(bool applied)
        {
            using var listener = new TcpListener(IPAddress.Loopback, 0);
            listener.Start();
            var near = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            var accepting = listener.AcceptSocketAsync();
            await near.ConnectAsync((IPEndPoint)listener.LocalEndpoint);
            var made = new Ends(near, await accepting);
            if (applied)
            {
                made.NearWire.InHandshake = () => OpenSslSettings.Apply(made.Client);
                made.FarWire.InHandshake = () => OpenSslSettings.Apply(made.Server);
            }

            await Task.WhenAll(
                made.Server.AuthenticateAsServerAsync(new SslServerAuthenticationOptions { ServerCertificate = Certificate, AllowTlsResume = false, EnabledSslProtocols = System.Security.Authentication.SslProtocols.Tls13 }),
                made.Client.AuthenticateAsClientAsync(new SslClientAuthenticationOptions { TargetHost = "test", RemoteCertificateValidationCallback = (_, _, _, _) => true }));
            return made;
        }

        public async ValueTask DisposeAsync()
        {
            await Client.DisposeAsync();
            await Server.DisposeAsync();
        }

        private static X509Certificate2 Make()
        {
            using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
            return new CertificateRequest("CN=test", key, HashAlgorithmName.SHA256).CreateSelfSigned(DateTimeOffset.UnixEpoch, new DateTimeOffset(2100, 1, 1, 0, 0, 0, TimeSpan.Zero));
        }
    }
}
