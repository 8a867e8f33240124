using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using Mesh.Sidecar.Balancing;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Identity;
using Mesh.Sidecar.Tests.Testbed;
using Mesh.Tests;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace Mesh.Sidecar.Tests.Identity;

/// <summary>
/// Somebody else answers at an endpoint's address. The request must not reach him, not even in part; the caller is told whom we expected and
/// who was there.
/// </summary>
public sealed class OutboundAttackTests
{
    private const string Get = "GET /secret HTTP/1.1\r\nHost: cart\r\n\r\n";

    [Theory]
    [InlineData(UpstreamProtocol.Http1)]
    [InlineData(UpstreamProtocol.Http2)]
    internal async Task AValidCertificateOfAnotherServiceIsRefused(UpstreamProtocol protocol)
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var pair = await Pair.HttpAsync(origin.Address, protocol);
        pair.ServerSecurity.Own.Set(pair.Authority.For("spiffe://cluster.local/ns/shop/sa/mallory"));
        var answer = await pair.Client.AskAsync(Get);
        Assert.Equal(503, answer!.Status);
        Assert.Contains("expected was spiffe://cluster.local/ns/shop/sa/cart, shown was spiffe://cluster.local/ns/shop/sa/mallory", answer.Body, StringComparison.Ordinal);
        Assert.Equal(["URX"], answer.Values("x-mesh-failure")); // tried three times, as any refused connection
        Assert.Empty(origin.Connections);
        Assert.InRange(pair.Client.Sink.Own.HandshakeFailures.ValueOf("outbound", "unexpected_peer"), 1, 9);
    }

    [Theory]
    [InlineData("cart2")]
    [InlineData("car")]
    [InlineData("Cart")]
    [InlineData("cart/x")]
    public async Task NamesAreComparedLetterByLetter(string almost)
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var pair = await Pair.HttpAsync(origin.Address);
        pair.ServerSecurity.Own.Set(pair.Authority.For("spiffe://cluster.local/ns/shop/sa/" + almost));
        Assert.Equal(503, (await pair.Client.AskAsync(Get))!.Status);
        Assert.Empty(origin.Connections);
    }

    [Fact]
    public async Task TheRightNameOfAnotherTrustDomainIsRefused()
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var pair = await Pair.HttpAsync(origin.Address);
        var other = new Authority(trustDomain: "other.local");
        pair.ServerSecurity.Own.Set(other.For("spiffe://other.local/ns/shop/sa/cart"));
        var answer = await pair.Client.AskAsync(Get);
        Assert.Equal(503, answer!.Status);
        Assert.Contains("trust domain", answer.Body, StringComparison.Ordinal);
        Assert.Empty(origin.Connections);
    }

    [Fact]
    public async Task AnAuthorityThatOnlyHasTheSameNameIsRefused()
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var pair = await Pair.HttpAsync(origin.Address);
        pair.ServerSecurity.Own.Set(new Authority().For(Authority.Cart));
        Assert.Equal(503, (await pair.Client.AskAsync(Get))!.Status);
        Assert.Empty(origin.Connections);
        Assert.InRange(pair.Client.Sink.Own.HandshakeFailures.ValueOf("outbound", "unknown_authority"), 1, 9);
    }

    [Theory]
    [InlineData(-25, -1)]
    [InlineData(1, 24)]
    public async Task ACertificateOutOfItsTimeIsRefused(int fromHours, int toHours)
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var pair = await Pair.HttpAsync(origin.Address);
        var now = DateTimeOffset.UtcNow;
        pair.ServerSecurity.Own.Set(pair.Authority.For(Authority.Cart, r => (r.NotBefore, r.NotAfter) = (now.AddHours(fromHours), now.AddHours(toHours))));
        var answer = await pair.Client.AskAsync(Get);
        Assert.Equal(503, answer!.Status);
        Assert.Contains(toHours < 0 ? "ended at" : "begins at", answer.Body, StringComparison.Ordinal);
        Assert.Empty(origin.Connections);
    }

    [Fact]
    public async Task APlaintextServerAtTheAddressGetsAHelloAndNothingElse()
    {
        // It answers anything with what it takes for HTTP.
        await using var plain = new RecordingOrigin(async c =>
        {
            await c.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nphish");
            await c.ReadToEndAsync();
        });
        var (bed, _) = await ClientOf(plain.Address);
        await using var client = bed;
        var answer = await client.AskAsync(Get);
        Assert.Equal(503, answer!.Status);
        Assert.NotEmpty(plain.AllBytes);
        Assert.DoesNotContain("GET", plain.AllBytes, StringComparison.Ordinal);
        Assert.DoesNotContain("secret", plain.AllBytes, StringComparison.Ordinal);
    }

    [Fact]
    public async Task WithoutACertificateNothingIsSentNotEvenInPlaintext()
    {
        await using var origin = RecordingOrigin.Friendly();
        var (bed, security) = await ClientOf(origin.Address, certified: false);
        await using var client = bed;
        var answer = await client.AskAsync(Get);
        Assert.Equal(503, answer!.Status);
        Assert.Contains("no certificate yet", answer.Body, StringComparison.Ordinal);
        Assert.Empty(origin.Connections);
        Assert.Null(security.Own.Current);
    }

    /// <summary>A connection in plaintext waits from before an identity was expected; without a certificate of ours nothing goes out on it either.</summary>
    [Theory]
    [InlineData(UpstreamProtocol.Http1)]
    [InlineData(UpstreamProtocol.Http2)]
    internal async Task AConnectionFromBeforeAnIdentityWasExpectedIsNotUsed(UpstreamProtocol protocol)
    {
        var asked = 0;
        await using var origin = await KestrelOrigin.StartAsync(
            c =>
            {
                Interlocked.Increment(ref asked);
                return c.Response.WriteAsync("hello");
            },
            protocol == UpstreamProtocol.Http2 ? HttpProtocols.Http2 : HttpProtocols.Http1);
        var plain = Pair.ClusterAt(origin.Address, null, protocol);
        await using var client = await Bed.StartAsync(at => Bed.Snap(Bed.HttpListener(at, Bed.Table(plain))));
        Assert.Equal(200, (await client.AskAsync(Get))!.Status);
        client.Snapshots.Publish(Bed.Snap(Bed.HttpListener(client.Port, Bed.Table(Pair.ClusterAt(origin.Address, Pair.Expecting(Authority.Cart), protocol, plain)))));
        var answer = await client.AskAsync(Get);
        Assert.Equal(503, answer!.Status);
        Assert.Contains("no certificate yet", answer.Body, StringComparison.Ordinal);
        Assert.Equal(1, asked);
    }

    [Theory]
    [InlineData(SslProtocols.Tls12, true)]
    [InlineData(SslProtocols.Tls13, false)]
    public async Task AServerOfOlderTlsOrWithoutOurProtocolIsRefused(SslProtocols version, bool knowsProtocol)
    {
        var authority = new Authority();
        var own = authority.For(Authority.Cart);
        var read = -1;
        await using var server = new RecordingOrigin(async c =>
        {
            await using var tls = new SslStream(new NetworkStream(c.Socket));
            await tls.AuthenticateAsServerAsync(new SslServerAuthenticationOptions
            {
                ServerCertificateContext = own.Svid.TlsContext,
                EnabledSslProtocols = version,
                ApplicationProtocols = knowsProtocol ? [new("istio-http/1.1")] : null,
            });
            read = await tls.ReadAsync(new byte[100]);
        });
        var (bed, _) = await ClientOf(server.Address, authority: authority);
        await using var client = bed;
        Assert.Equal(503, (await client.AskAsync(Get))!.Status);
        Assert.True(read <= 0, "the request was sent");
    }

    [Fact]
    public async Task WhoIsSomebodyElseIsPassedOverForOneWhoIsRight()
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var pair = await Pair.HttpAsync(origin.Address);
        await using var stolen = RecordingOrigin.Friendly("stolen");
        await using var mallory = await Pair.HttpAsync(stolen.Address, authority: pair.Authority);
        mallory.ServerSecurity.Own.Set(pair.Authority.For("spiffe://cluster.local/ns/shop/sa/mallory"));
        var both = Pair.ClusterAt(mallory.Server.Port, Pair.Expecting(Authority.Cart), UpstreamProtocol.Http1);
        var two = new Cluster
        {
            Name = both.Name,
            Kind = both.Kind,
            Policy = both.Policy,
            Endpoints = [both.Endpoints[0], pair.Cluster.Endpoints[0]],
            Service = both.Service,
            State = new ClusterState(),
        };
        pair.Client.Snapshots.Publish(Bed.Snap(Bed.HttpListener(pair.Client.Port, Bed.Table(two))));
        for (var i = 0; i < 10; i++) Assert.Equal("hello", (await pair.Client.AskAsync(Get))!.Body);
        Assert.Empty(stolen.Connections);
    }

    [Fact]
    public async Task AServerThatNeverShakesHandsIsGivenUpWithTheConnectTimeout()
    {
        await using var silent = new RecordingOrigin(c => c.ReadToEndAsync());
        var authority = new Authority();
        var (bed, _) = await ClientOf(silent.Address, authority: authority, timeout: TimeSpan.FromMilliseconds(300));
        await using var client = bed;
        var answer = await client.AskAsync(Get);
        Assert.Equal(503, answer!.Status);
        Assert.Contains("took too long", answer.Body, StringComparison.Ordinal);
    }

    [Fact]
    public async Task HandshakesThatHangMakeOthersOfTheSameAddressWaitAndOfNoOther()
    {
        await using var silent = new RecordingOrigin(c => c.ReadToEndAsync());
        await using var friendly = RecordingOrigin.Friendly();
        await using var other = await Pair.HttpAsync(friendly.Address);
        var authority = new Authority();
        var (bed, _) = await ClientOf(silent.Address, authority: authority, timeout: TimeSpan.FromSeconds(30));
        await using var client = bed;
        var asking = Enumerable.Range(0, Turns.AtOnce + 40).Select(_ => client.AskAsync(Get)).ToList();
        await Eventually.TrueAsync(() => silent.Connections.Count() >= Turns.AtOnce);
        Assert.Equal("hello", (await other.Client.AskAsync(Get))!.Body);
        Assert.Equal(Turns.AtOnce, silent.Connections.Count());
        await client.DisposeAsync();
        foreach (var answer in asking) await ((Task)answer).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
    }

    /// <summary>Whoever passed the handshake may still send what is no TLS, while its connection waits or in place of an answer: that connection ends, nothing else.</summary>
    [Theory]
    [InlineData("\x17\x03\x03\x00\x14aaaaaaaaaaaaaaaaaaaa")]
    [InlineData("\x16\x03\x03\x00\x05\x01\x00\x00\x01\x00")]
    [InlineData("\x16\x03\x03\x00\x04\x00\x00\x00\x00")]
    [InlineData("\x15\x03\x03\x00\x02\x02\x28")]
    [InlineData("\x14\x03\x03\x00\x01\x01")]
    [InlineData("\x17\x03\x03\xff\xff")]
    [InlineData("\x17\x03\x03\x00\x00")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nphish")]
    public async Task WhatIsNoTlsAfterTheHandshakeEndsTheConnectionAlone(string bytes)
    {
        var authority = new Authority();
        var own = authority.For(Authority.Cart);
        var garbage = System.Text.Encoding.Latin1.GetBytes(bytes);
        await using var server = new RecordingOrigin(async c =>
        {
            var wire = new NetworkStream(c.Socket);
            await using var tls = new SslStream(wire);
            await tls.AuthenticateAsServerAsync(new SslServerAuthenticationOptions
            {
                ServerCertificateContext = own.Svid.TlsContext,
                ClientCertificateRequired = true,
                ApplicationProtocols = [new("istio-http/1.1")],
                RemoteCertificateValidationCallback = (_, _, _, _) => true,
            });
            var buffer = new byte[4096];
            var read = await tls.ReadAsync(buffer);
            var waits = System.Text.Encoding.Latin1.GetString(buffer, 0, read).Contains("/waits", StringComparison.Ordinal);
            if (waits) await tls.WriteAsync("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"u8.ToArray());
            await wire.WriteAsync(garbage);
            await c.ReadToEndAsync();
        });
        var (bed, security) = await ClientOf(server.Address, authority: authority);
        await using var client = bed;
        for (var i = 0; i < 3; i++)
        {
            // What lies behind the answer may come with it or after it.
            Assert.Contains((await client.AskAsync("GET /waits HTTP/1.1\r\nHost: cart\r\n\r\n"))!.Status, new[] { 200, 502, 503 });
            using var asking = await client.ConnectAsync();
            await asking.SendAsync(Get);
            if (await asking.EndsWithinAsync(TimeSpan.FromMilliseconds(500)) || bytes[0] is '\x14' or '\x17') continue;
            Assert.InRange((await asking.ReadAnswerAsync())!.Status, 502, 503);
        }

        await client.DisposeAsync();
        await Eventually.TrueAsync(() => security.Connections.Open == 0);
    }

    private static async Task<(Bed Bed, Security Security)> ClientOf(
        IPEndPoint server, bool certified = true, Authority? authority = null, TimeSpan? timeout = null)
    {
        var security = new Security(TimeProvider.System);
        if (certified) security.Own.Set((authority ?? new Authority()).For(Authority.Web));
        var like = Pair.ClusterAt(server, Pair.Expecting(Authority.Cart), UpstreamProtocol.Http1);
        var cluster = new Cluster
        {
            Name = like.Name,
            Kind = like.Kind,
            Policy = like.Policy,
            ConnectTimeout = timeout ?? TimeSpan.FromSeconds(5),
            Endpoints = like.Endpoints,
            Service = like.Service,
            State = new ClusterState(),
        };
        var settings = new DataPathSettings { Self = new("web-1", "shop", "web", "v1"), Seed = 42, Security = security };
        return (await Bed.StartAsync(at => Bed.Snap(Bed.HttpListener(at, Bed.Table(cluster))), settings: settings), security);
    }
}
