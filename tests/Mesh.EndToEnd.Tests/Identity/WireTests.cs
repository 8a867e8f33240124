using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Text;
using Mesh.EndToEnd.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Identity;

/// <summary>What somebody sees who reads the wire between two sidecars: TLS 1.3 and nothing of what is said inside.</summary>
public sealed class WireTests
{
    private const string Marker = "what-nobody-else-may-read";

    // Much more than a handshake, so that one who saw as many bytes saw what was said after it.
    private static readonly string Message = string.Concat(Enumerable.Repeat(Marker, 400));

    [SkippableFact]
    public async Task Http_and_tcp_between_sidecars_are_TLS_1_3_only()
    {
        await using var bed = await MeshTestbed.StartAsync();
        await bed.RunAsync(async () =>
        {
            var web = await bed.AddAsync("web", "web-1");
            var echo = bed.Own(new EchoServer());
            var db = await bed.AddPortAsync("db", "db-1", echo.Port, "tcp");
            using var http1 = PacketCapture.Start(web.Sidecar.Inbound(web.App.Port));
            using var tcp = PacketCapture.Start(db.Inbound(echo.Port));
            var client = await bed.AddClientAsync("client", "--upstream", "db=127.0.0.1:0:tcp");
            using var http = client.Client();
            await Eventually.PassesAsync(async () =>
            {
                using var request = new HttpRequestMessage(HttpMethod.Post, $"http://web/{Marker}") { Content = new StringContent(Message), Headers = { { "x-secret", Marker } } };
                using var answer = await http.SendAsync(request);
                Assert.Equal(Message, await answer.Content.ReadAsStringAsync());
            });
            await Eventually.PassesAsync(async () => Assert.Equal(Message, await SayAsync(client.Upstream("db"), Message)));

            await AssertSecretAsync(http1);
            await AssertSecretAsync(tcp);
        });
    }

    /// <summary>The judge can say no: the same capture sees a caller that speaks plaintext to the same port.</summary>
    [SkippableFact]
    public async Task The_capture_tells_plaintext_when_it_sees_it()
    {
        await using var bed = await MeshTestbed.StartAsync();
        await bed.RunAsync(async () =>
        {
            var web = await bed.AddAsync("web", "web-1");
            using var capture = PacketCapture.Start(web.Sidecar.Inbound(web.App.Port));
            using var http = new HttpClient(new SocketsHttpHandler { UseProxy = false });
            Assert.Equal("web-1 GET /" + Marker, await http.GetStringAsync($"http://{web.Sidecar.Inbound(web.App.Port)}/{Marker}"));

            await Eventually.HoldsAsync(() => capture.Streams().Any(s => s.ToPort && Contains(s.Bytes, Marker)), "the marker is seen");
            Assert.All(capture.Streams().Where(s => s.Bytes.Length > 0), s => Assert.NotNull(TlsRecords.Problem(s.Bytes, s.ToPort)));
        });
    }

    [SkippableTheory]
    [InlineData(SslProtocols.Tls13, true)]
    [InlineData(SslProtocols.Tls12, false)]
    public async Task The_capture_tells_TLS_1_3_from_1_2(SslProtocols version, bool good)
    {
        var forge = new CertificateForge(TimeProvider.System);
        using var certificate = forge.Leaf(forge.Root()).WithKey();
        using var listener = new TcpListener(System.Net.IPAddress.Loopback, 0);
        listener.Start();
        using var capture = PacketCapture.Start(listener.LocalEndpoint.ToString()!);
        var serving = Task.Run(async () =>
        {
            using var accepted = await listener.AcceptTcpClientAsync();
            await using var tls = new SslStream(accepted.GetStream());
            await tls.AuthenticateAsServerAsync(new SslServerAuthenticationOptions { ServerCertificate = certificate, EnabledSslProtocols = version });
            await tls.WriteAsync(Encoding.ASCII.GetBytes(Marker));
            _ = await tls.ReadAtLeastAsync(new byte[1], 1);
        });
        using var client = new TcpClient();
        await client.ConnectAsync((System.Net.IPEndPoint)listener.LocalEndpoint);
        await using var stream = new SslStream(client.GetStream());
        await stream.AuthenticateAsClientAsync(new SslClientAuthenticationOptions
        {
            TargetHost = "web",
            EnabledSslProtocols = version,
            RemoteCertificateValidationCallback = (_, _, _, _) => true,
        });
        await stream.ReadExactlyAsync(new byte[Marker.Length]);
        await stream.WriteAsync(new byte[1]);
        await serving;

        await Eventually.HoldsAsync(() => capture.Streams().Count(s => s.Bytes.Length > 100) == 2, "both directions are seen");
        Assert.All(capture.Streams(), s => Assert.Equal(good, TlsRecords.Problem(s.Bytes, s.ToPort) is null));
        Assert.All(capture.Streams(), s => Assert.False(Contains(s.Bytes, Marker)));
    }

    private static async Task AssertSecretAsync(PacketCapture capture)
    {
        List<(bool ToPort, byte[] Bytes)> streams = [];
        await Eventually.HoldsAsync(
            () =>
            {
                streams = [.. capture.Streams().Where(s => s.Bytes.Length > 0)];
                return streams.Exists(s => s.ToPort && s.Bytes.Length > Message.Length) && streams.Exists(s => !s.ToPort && s.Bytes.Length > Message.Length);
            },
            "both directions are seen");
        Assert.All(streams, s => Assert.Null(TlsRecords.Problem(s.Bytes, s.ToPort)));
        // Identities are in certificates, which TLS 1.3 encrypts, too.
        foreach (var secret in (string[])[Marker, "HTTP/1.1", "spiffe://"])
            Assert.All(streams, s => Assert.False(Contains(s.Bytes, secret), $"'{secret}' is on the wire"));
    }

    private static bool Contains(byte[] bytes, string text) => bytes.AsSpan().IndexOf(Encoding.ASCII.GetBytes(text)) >= 0;

    private static async Task<string> SayAsync(string address, string text)
    {
        var to = System.Net.IPEndPoint.Parse(address);
        using var tcp = new TcpClient();
        await tcp.ConnectAsync(to.Address, to.Port);
        await tcp.GetStream().WriteAsync(Encoding.ASCII.GetBytes(text));
        var back = new byte[text.Length];
        await tcp.GetStream().ReadExactlyAsync(back).AsTask().WaitAsync(TimeSpan.FromSeconds(5));
        return Encoding.ASCII.GetString(back);
    }
}
