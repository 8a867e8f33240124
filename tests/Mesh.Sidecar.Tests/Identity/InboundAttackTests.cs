using System.Diagnostics;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Text;
using Mesh.Api.Identity;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Listening;
using Mesh.Sidecar.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests.Identity;

/// <summary>Clients that must not get in: each is refused within seconds, counted by reason, and the application hears nothing of him.</summary>
public sealed class InboundAttackTests
{
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(20); // the bound is 5 s; the rest is a busy machine

    [Theory]
    [InlineData("GET /secret HTTP/1.1\r\nHost: cart\r\n\r\n", "plaintext")]
    [InlineData("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "plaintext")]
    [InlineData("\x16\x03", "timeout")]
    [InlineData("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", "plaintext")]
    [InlineData("\x16\x03\x01\x00\x00", "plaintext")]
    [InlineData("\x16\x03\x01\xff\xff", "plaintext")]
    [InlineData("\x80\x2e\x01\x00\x02", "plaintext")]
    [InlineData("", "timeout")]
    public async Task WhatIsNotTheHelloOfATlsClientIsRefusedWhereOnlyMutualTlsIsTaken(string bytes, string reason)
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var pair = await Pair.HttpAsync(origin.Address);
        using var client = await RawClient.ConnectAsync(pair.Server.Port);
        await client.SendAsync(bytes);
        Assert.True(await client.EndsWithinAsync(Soon));
        Assert.Equal("", await client.ReadToEndAsync());
        Assert.Empty(origin.Connections);
        await Eventually.TrueAsync(() => pair.Server.Sink.Own.HandshakeFailures.ValueOf("inbound", reason) == 1);
    }

    [Fact]
    public async Task AHelloThatDripsIsCutAndDisturbsNobody()
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var pair = await Pair.HttpAsync(origin.Address);
        var begun = Stopwatch.GetTimestamp();
        using var slow = await RawClient.ConnectAsync(pair.Server.Port);
        var ended = slow.EndsWithinAsync(Soon);
        var drip = Task.Run(async () =>
        {
            var hello = Hello();
            for (var i = 0; i < hello.Length && !ended.IsCompleted; i++)
            {
                try
                {
                    await slow.SendAsync(hello[i..(i + 1)]);
                }
                catch (SocketException)
                {
                    return;
                }

                await Task.Delay(100);
            }
        });
        var served = 0;
        for (; !ended.IsCompleted; served++)
        {
            Assert.Equal(200, (await pair.Client.AskAsync("GET / HTTP/1.1\r\nHost: cart\r\n\r\n"))!.Status);
            await Task.Delay(50);
        }

        Assert.True(await ended);
        await drip;
        Assert.InRange(Stopwatch.GetElapsedTime(begun), TimeSpan.FromSeconds(4.9), Soon);
        Assert.True(served > 2, $"{served} served meanwhile: who waits for the slow one is one");
        await Eventually.TrueAsync(() => pair.Server.Sink.Own.HandshakeFailures.ValueOf("inbound", "timeout") == 1);
    }

    [Fact]
    public async Task AHelloInPiecesIsAHello()
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var pair = await Pair.HttpAsync(origin.Address);
        using var client = await RawClient.ConnectAsync(pair.Server.Port);
        foreach (var b in Hello()) await client.SendAsync([b]);
        // The server's flight: it took the hello.
        Assert.StartsWith("\x16\x03\x03", await client.ReadAsync(3), StringComparison.Ordinal);
    }

    [Fact]
    public async Task AClientThatStopsInTheMiddleOfTheHandshakeIsCut()
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var pair = await Pair.HttpAsync(origin.Address);
        using var client = await RawClient.ConnectAsync(pair.Server.Port);
        await client.SendAsync(Hello());
        Assert.True(await client.EndsWithinAsync(Soon));
        await Eventually.TrueAsync(() => pair.Server.Sink.Own.HandshakeFailures.ValueOf("inbound", "timeout") == 1);
    }

    /// <summary>Many that stop in the middle: the oldest make room, long before their time is up, and who is honest gets through.</summary>
    [Fact]
    public async Task HandshakesThatHangAreFewAndHoldUpNobody()
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var pair = await Pair.HttpAsync(origin.Address);
        var begun = Stopwatch.GetTimestamp();
        var hello = Hello();
        var hanging = new List<RawClient>();
        while (pair.Server.Sink.Own.HandshakeFailures.ValueOf("inbound", "timeout") < 5)
        {
            var client = await RawClient.ConnectAsync(pair.Server.Port);
            hanging.Add(client);
            await client.SendAsync(hello);
            await client.ReadAsync(3); // the server's flight: it hangs now
            if (hanging.Count > Pair.MostHandshakes) await Task.Delay(20);
        }

        Assert.InRange(Stopwatch.GetElapsedTime(begun), OngoingHandshakes.Young, TimeSpan.FromSeconds(4.5)); // the bound of each is 5 s
        foreach (var oldest in hanging.Take(5)) Assert.True(await oldest.EndsWithinAsync(TimeSpan.FromSeconds(2)));
        Assert.Equal(200, (await pair.Client.AskAsync("GET / HTTP/1.1\r\nHost: cart\r\n\r\n"))!.Status);
        foreach (var client in hanging) client.Dispose();
    }

    [Theory]
    [InlineData(SslProtocols.Tls12, "istio-http/1.1", "protocol")]
    [InlineData(SslProtocols.Tls13, "h2", "alpn")]
    [InlineData(SslProtocols.Tls13, "", "alpn")]
    public async Task OlderTlsAndForeignProtocolsAreRefused(SslProtocols version, string alpn, string reason)
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var pair = await Pair.HttpAsync(origin.Address);
        await Assert.ThrowsAnyAsync<Exception>(() => AskAsync(pair, pair.Authority.For(Authority.Web), version, alpn));
        await Eventually.TrueAsync(() => pair.Server.Sink.Own.HandshakeFailures.ValueOf("inbound", reason) == 1);
        Assert.Empty(origin.Connections);
    }

    [Fact]
    public async Task AClientWithoutACertificateIsRefused()
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var pair = await Pair.HttpAsync(origin.Address);
        await RefusedAsync(pair, null, "no_certificate");
        Assert.Empty(origin.Connections);
        await Eventually.TrueAsync(() => pair.Server.Output.Has("reason=NoCertificate"), pair.Server.Output.ToString);
    }

    [Fact]
    public async Task CertificatesThatAreNoneOfOursAreRefused()
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var pair = await Pair.HttpAsync(origin.Address);
        var now = DateTimeOffset.UtcNow;
        var ours = pair.Authority;
        await RefusedAsync(pair, new Authority().For(Authority.Web), "unknown_authority");
        await RefusedAsync(pair, new Authority(trustDomain: "other.local").For("spiffe://other.local/ns/shop/sa/web"), "unknown_authority");
        await RefusedAsync(pair, ours.For(Authority.Web, r => (r.NotBefore, r.NotAfter) = (now.AddHours(-3), now.AddSeconds(-1))), "expired");
        await RefusedAsync(pair, ours.For(Authority.Web, r => r.NotBefore = now.AddMinutes(10)), "expired");
        await RefusedAsync(pair, ours.For(Authority.Web, r => r.Purposes = [CertificateForge.ServerAuthentication]), "bad_certificate");
        await RefusedAsync(pair, ours.For(Authority.Web, r => r.Usage = System.Security.Cryptography.X509Certificates.X509KeyUsageFlags.KeyCertSign), "bad_certificate");
        Assert.Empty(origin.Connections);
        await Eventually.TrueAsync(() => pair.ServerSecurity.Connections.Open == 0);
    }

    [Fact]
    public async Task TheLogSaysItOnceASecondHoweverManyAreRefused()
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var pair = await Pair.HttpAsync(origin.Address);
        var begun = Stopwatch.GetTimestamp();
        for (var i = 0; i < 50; i++)
        {
            using var client = await RawClient.ConnectAsync(pair.Server.Port);
            await client.SendAsync("hello there\r\n");
            await client.EndsWithinAsync(Soon);
        }

        await Eventually.TrueAsync(() => pair.Server.Sink.Own.HandshakeFailures.ValueOf("inbound", "plaintext") == 50);
        var lines = pair.Server.Output.ToString().Split('\n').Count(l => l.Contains("a client was refused", StringComparison.Ordinal));
        Assert.InRange(lines, 1, 1 + (int)Stopwatch.GetElapsedTime(begun).TotalSeconds);
    }

    [Fact]
    public async Task ThePermissivePortPassesTheApplicationsOwnTlsOnAsItIs()
    {
        var own = new Authority().For("spiffe://cluster.local/ns/other/sa/app");
        await using var app = new RecordingOrigin(async c =>
        {
            await using var tls = new SslStream(new NetworkStream(c.Socket));
            await tls.AuthenticateAsServerAsync(new SslServerAuthenticationOptions { ServerCertificateContext = own.Svid.TlsContext, ApplicationProtocols = [new("h2"), new("app/1")] });
            await tls.WriteAsync("own tls"u8.ToArray());
            await tls.ReadExactlyAsync(new byte[3]);
        });
        await using var pair = await Pair.HttpAsync(app.Address);
        var opaque = new FilterChain { Name = "tls-opaque", TransportProtocol = "tls", Tcp = Bed.TcpTo(Bed.Cluster(app.Address)) };
        pair.Server.Snapshots.Publish(Bed.Snap(Pair.MutualListener(pair.Server.Port, Bed.Table(Bed.Cluster(app.Address)), opaque)));
        using var client = new TcpClient();
        await client.ConnectAsync(pair.Server.Port);
        await using var secured = new SslStream(client.GetStream(), leaveInnerStreamOpen: false, (_, certificate, _, _) => certificate?.GetSerialNumberString() == own.Svid.Certificate.SerialNumber);
        await secured.AuthenticateAsClientAsync(new SslClientAuthenticationOptions { TargetHost = "app", ApplicationProtocols = [new("app/1")] });
        Assert.Equal("app/1", secured.NegotiatedApplicationProtocol.ToString());
        var said = new byte[7];
        await secured.ReadExactlyAsync(said);
        Assert.Equal("own tls", Encoding.ASCII.GetString(said));
        await secured.WriteAsync("bye"u8.ToArray());
    }

    /// <summary>Where no ALPN tells which HTTP it is, the first bytes do; who leaves before them leaves nothing behind.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task AClientThatLeavesBeforeItsFirstByteIsForgotten(bool politely)
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var pair = await Pair.HttpAsync(origin.Address);
        var any = Pair.Chain("mtls-http") with { Http = new HttpConnectionManager { Routes = Bed.Table(Bed.Cluster(origin.Address)) } };
        pair.Server.Snapshots.Publish(Bed.Snap(Pair.MutualListener(pair.Server.Port, Bed.Table(Bed.Cluster(origin.Address)), any)));
        var own = pair.Authority.For(Authority.Web);
        for (var i = 0; i < 5; i++)
        {
            using var client = new TcpClient();
            await client.ConnectAsync(pair.Server.Port);
            await using var tls = new SslStream(client.GetStream(), leaveInnerStreamOpen: true);
            await tls.AuthenticateAsClientAsync(new SslClientAuthenticationOptions { TargetHost = "cart", ClientCertificateContext = own.Svid.TlsContext, RemoteCertificateValidationCallback = (_, _, _, _) => true });
            await Eventually.TrueAsync(() => pair.ServerSecurity.Connections.Open == 1);
            if (politely) await tls.ShutdownAsync();
            client.Client.Shutdown(SocketShutdown.Send);
            await Eventually.TrueAsync(() => pair.ServerSecurity.Connections.Open == 0);
        }

        await Eventually.TrueAsync(() => pair.Server.Sink.Own.DownstreamOpen.Value == 0);
    }

    private static async Task RefusedAsync(Pair pair, Credentials? own, string reason)
    {
        var before = pair.Server.Sink.Own.HandshakeFailures.ValueOf("inbound", reason);
        await Assert.ThrowsAnyAsync<Exception>(() => AskAsync(pair, own, SslProtocols.Tls13, "istio-http/1.1"));
        await Eventually.TrueAsync(() => pair.Server.Sink.Own.HandshakeFailures.ValueOf("inbound", reason) == before + 1);
    }

    /// <summary>A request over TLS of the runtime's own; throws when nothing comes back.</summary>
    private static async Task AskAsync(Pair pair, Credentials? own, SslProtocols version, string alpn)
    {
        using var bound = new CancellationTokenSource(Soon);
        using var client = new TcpClient();
        await client.ConnectAsync(pair.Server.Port, bound.Token);
        await using var tls = new SslStream(client.GetStream());
        await tls.AuthenticateAsClientAsync(
            new SslClientAuthenticationOptions
            {
                TargetHost = "cart",
                EnabledSslProtocols = version,
                ClientCertificateContext = own?.Svid.TlsContext,
                ApplicationProtocols = alpn.Length > 0 ? [new(alpn)] : null,
                RemoteCertificateValidationCallback = (_, _, _, _) => true,
            },
            bound.Token);
        await tls.WriteAsync("GET / HTTP/1.1\r\nHost: cart\r\n\r\n"u8.ToArray(), bound.Token);
        await tls.ReadExactlyAsync(new byte[1], bound.Token);
    }

    /// <summary>The first bytes a TLS client sends.</summary>
    internal static byte[] Hello(string alpn = "istio-http/1.1")
    {
        using var sink = new HelloSink();
        using var tls = new SslStream(sink, leaveInnerStreamOpen: true);
        try
        {
            tls.AuthenticateAsClient(new SslClientAuthenticationOptions { TargetHost = "cart.shop", EnabledSslProtocols = SslProtocols.Tls13, ApplicationProtocols = [new(alpn)] });
        }
        catch (Exception e) when (e is IOException or AuthenticationException)
        {
            // Nobody answers.
        }

        return sink.ToArray();
    }

    /// <summary>Takes what is written and answers nothing.</summary>
    private sealed class HelloSink : MemoryStream
    {
        public override int Read(byte[] buffer, int offset, int count) => 0;

        public override int Read(Span<byte> buffer) => 0;
    }
}
