using Mesh.Api.Identity;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Tests.Testbed;
using Mesh.Tests;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace Mesh.Sidecar.Tests.Identity;

/// <summary>
/// Certificates, roots and expected identities that change under connections: what runs goes on, what comes next runs on a connection that
/// was made under what is in force.
/// </summary>
public sealed class RenewalTests
{
    private const string Get = "GET / HTTP/1.1\r\nHost: cart\r\n\r\n";

    [Theory]
    [InlineData(UpstreamProtocol.Http1)]
    [InlineData(UpstreamProtocol.Http2)]
    internal async Task ARenewedCertificateIsUsedByTheNextRequestAndTheOldConnectionEnds(UpstreamProtocol protocol)
    {
        await using var origin = await OriginAsync(protocol);
        await using var pair = await Pair.HttpAsync(origin.Address, protocol);
        using var client = await pair.Client.ConnectAsync();
        await AskAsync(client);
        await AskAsync(client);
        Assert.Equal(1, Handshakes(pair));
        pair.ClientSecurity.Own.Set(pair.Authority.For(Authority.Web));
        await AskAsync(client);
        await AskAsync(client);
        Assert.Equal(2, Handshakes(pair));
        if (protocol == UpstreamProtocol.Http1) await Eventually.TrueAsync(() => pair.ServerSecurity.Connections.Open == 1);
    }

    [Theory]
    [InlineData(UpstreamProtocol.Http1)]
    [InlineData(UpstreamProtocol.Http2)]
    internal async Task OtherRootsMeanOtherConnections(UpstreamProtocol protocol)
    {
        await using var origin = await OriginAsync(protocol);
        await using var pair = await Pair.HttpAsync(origin.Address, protocol);
        using var client = await pair.Client.ConnectAsync();
        await AskAsync(client);
        var second = new Authority();
        var both = new TrustBundle("cluster.local", [.. pair.Authority.Bundle.Roots, .. second.Bundle.Roots]);
        pair.ClientSecurity.Own.Set(pair.ClientSecurity.Own.Current! with { Bundle = both });
        await AskAsync(client);
        Assert.Equal(2, Handshakes(pair));

        // The same roots written anew are the same roots.
        pair.ClientSecurity.Own.Set(pair.ClientSecurity.Own.Current! with { Bundle = TrustBundle.FromPem("cluster.local", both.ToPem()) });
        await AskAsync(client);
        Assert.Equal(2, Handshakes(pair));

        // The server's root is dropped: its open connection is not used, though it would still work.
        pair.ClientSecurity.Own.Set(pair.ClientSecurity.Own.Current! with { Bundle = second.Bundle });
        await client.SendAsync(Get);
        Assert.Equal(503, (await client.ReadAnswerAsync())!.Status);
    }

    [Theory]
    [InlineData(UpstreamProtocol.Http1)]
    [InlineData(UpstreamProtocol.Http2)]
    internal async Task AConnectionServesNoRequestThatExpectsSomebodyElse(UpstreamProtocol protocol)
    {
        await using var origin = await OriginAsync(protocol);
        await using var pair = await Pair.HttpAsync(origin.Address, protocol);
        using var client = await pair.Client.ConnectAsync();
        await AskAsync(client);
        pair.Expect("spiffe://cluster.local/ns/shop/sa/cart-v2");
        await client.SendAsync(Get);
        var refused = await client.ReadAnswerAsync();
        Assert.Equal(503, refused!.Status);
        Assert.Contains("expected was spiffe://cluster.local/ns/shop/sa/cart-v2, shown was " + Authority.Cart, refused.Body, StringComparison.Ordinal);

        // One more name is another expectation, too; the same names are the same.
        pair.Expect("spiffe://cluster.local/ns/shop/sa/cart-v2", Authority.Cart);
        await AskAsync(client);
        var made = Handshakes(pair);
        pair.Expect(Authority.Cart, "spiffe://cluster.local/ns/shop/sa/cart-v2");
        await AskAsync(client);
        Assert.Equal(made, Handshakes(pair));
    }

    [Fact]
    public async Task ARequestUnderWayFinishesOnItsConnection()
    {
        var mayAnswer = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var origin = new RecordingOrigin(async c =>
        {
            while (await c.ReadRequestAsync() is { } request)
            {
                if (request.Line.Contains("/slow", StringComparison.Ordinal)) await mayAnswer.Task;
                await c.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
            }
        });
        await using var pair = await Pair.HttpAsync(origin.Address);
        using var slow = await pair.Client.ConnectAsync();
        await slow.SendAsync("GET /slow HTTP/1.1\r\nHost: cart\r\n\r\n");
        await Eventually.TrueAsync(() => origin.Requests.Any());
        pair.ClientSecurity.Own.Set(pair.Authority.For(Authority.Web));
        pair.ServerSecurity.Own.Set(pair.Authority.For(Authority.Cart));
        using var quick = await pair.Client.ConnectAsync();
        await AskAsync(quick);
        mayAnswer.SetResult();
        Assert.Equal(200, (await slow.ReadAnswerAsync())!.Status);
    }

    [Theory]
    [InlineData(UpstreamProtocol.Http1)]
    [InlineData(UpstreamProtocol.Http2)]
    internal async Task AHundredRenewalsUnderLoadFailNoRequestAndCutNoStream(UpstreamProtocol protocol)
    {
        await using var origin = await OriginAsync(protocol);
        await using var pair = await Pair.HttpAsync(origin.Address, protocol);
        await using var echo = new RecordingOrigin(async c =>
        {
            while (await c.ReadAsync(1) is { Length: 1 } one) await c.SendAsync(one);
        });
        await using var streams = await Pair.TcpAsync(echo.Address, pair.Authority);
        using var stream = await streams.Client.ConnectAsync();
        using var stop = new CancellationTokenSource();
        var load = Enumerable.Range(0, 8).Select(_ => Task.Run(() => LoadAsync(pair, stop.Token))).ToList();
        for (var i = 0; i < 100; i++)
        {
            var before = Handshakes(pair);
            foreach (var one in new[] { pair, streams })
            {
                one.ClientSecurity.Own.Set(one.Authority.For(Authority.Web));
                one.ServerSecurity.Own.Set(one.Authority.For(Authority.Cart));
            }

            await stream.SendAsync("x");
            Assert.Equal("x", await stream.ReadAsync(1));
            await Eventually.TrueAsync(() => Handshakes(pair) > before || load.Exists(l => l.IsCompleted));
        }

        await stop.CancelAsync();
        Assert.NotEqual(0, (await Task.WhenAll(load)).Sum());
        Assert.InRange(Handshakes(pair), 100, 2000);
        Assert.Equal(1, Handshakes(streams));
        Assert.Empty(pair.Client.Sink.Own.HandshakeFailures.Members);
    }

    private static async Task<int> LoadAsync(Pair pair, CancellationToken stop)
    {
        var sent = 0;
        using var client = await pair.Client.ConnectAsync();
        for (; !stop.IsCancellationRequested; sent++) await AskAsync(client);
        return sent;
    }

    private static long Handshakes(Pair pair) => pair.Server.Sink.Own.Handshakes.ValueOf("inbound");

    private static async Task AskAsync(RawClient client)
    {
        await client.SendAsync(Get);
        var answer = await client.ReadAnswerAsync();
        Assert.True(answer is { Status: 200 }, answer?.Head + answer?.Body);
    }

    private static Task<KestrelOrigin> OriginAsync(UpstreamProtocol protocol) =>
        KestrelOrigin.StartAsync(c => c.Response.WriteAsync("hello"), protocol == UpstreamProtocol.Http2 ? HttpProtocols.Http2 : HttpProtocols.Http1);
}
