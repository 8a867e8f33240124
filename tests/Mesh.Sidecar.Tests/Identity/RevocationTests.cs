using Mesh.Sidecar.Config;
using Mesh.Sidecar.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests.Identity;

/// <summary>A revoked identity: every connection with it ends at once, whatever runs on it and whoever opened it, and no other one does.</summary>
public sealed class RevocationTests
{
    private const string Get = "GET / HTTP/1.1\r\nHost: cart\r\n\r\n";

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task IdleAndBusyHttpConnectionsEndAndNewOnesAreRefused(bool byServer)
    {
        await using var origin = new RecordingOrigin(async c =>
        {
            while (await c.ReadRequestAsync() is { } request)
            {
                if (request.Line.Contains("/hangs", StringComparison.Ordinal)) await c.ReadToEndAsync();
                else await c.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
            }
        });
        await using var pair = await Pair.HttpAsync(origin.Address);
        using var busy = await pair.Client.ConnectAsync();
        await busy.SendAsync("GET /hangs HTTP/1.1\r\nHost: cart\r\n\r\n");
        Assert.Equal(200, (await pair.Client.AskAsync(Get))!.Status);
        await Eventually.TrueAsync(() => pair.ServerSecurity.Connections.Open == 2 && origin.Requests.Count() == 2);

        Revoke(pair, byServer);
        Assert.InRange((await busy.ReadAnswerAsync())!.Status, 502, 503);
        await Eventually.TrueAsync(() => pair.ServerSecurity.Connections.Open == 0 && pair.ClientSecurity.Connections.Open == 0);
        var refused = await pair.Client.AskAsync(Get);
        Assert.InRange(refused!.Status, 502, 503);
        if (!byServer) Assert.Contains("is revoked", refused.Body, StringComparison.Ordinal);
        // With TLS 1.3 the client has done its part of the handshake before the server has looked at its certificate, so it may hear of the end first.
        await Eventually.TrueAsync(() => (byServer ? pair.Server : pair.Client).Sink.Own.HandshakeFailures.ValueOf(byServer ? "inbound" : "outbound", "revoked") is >= 1 and <= 9);

        // Taken back.
        (byServer ? pair.ServerSecurity : pair.ClientSecurity).Connections.Revoke([]);
        await Eventually.HoldsAsync(async () => (await pair.Client.AskAsync(Get))!.Status == 200, "it is served again");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Http2StreamsEnd(bool byServer)
    {
        await using var origin = await KestrelOrigin.StartAsync(async c =>
        {
            await c.Response.Body.FlushAsync();
            await Task.Delay(Timeout.Infinite, c.RequestAborted).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        });
        await using var pair = await Pair.HttpAsync(origin.Address, UpstreamProtocol.Http2);
        using var client = await pair.Client.ConnectAsync();
        await client.SendAsync(Get);
        await Eventually.TrueAsync(() => pair.ServerSecurity.Connections.Open == 1 && pair.ClientSecurity.Connections.Open == 1);
        Revoke(pair, byServer);
        await Eventually.TrueAsync(() => pair.ServerSecurity.Connections.Open == 0 && pair.ClientSecurity.Connections.Open == 0);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task TcpConnectionsEnd(bool byServer)
    {
        await using var origin = new RecordingOrigin(async c =>
        {
            await c.SendAsync("hi");
            await c.ReadToEndAsync();
        });
        await using var pair = await Pair.TcpAsync(origin.Address);
        using var client = await pair.Client.ConnectAsync();
        await client.ReadAsync(2);
        Revoke(pair, byServer);
        await client.ReadToEndAsync();
        Assert.True(client.WasReset);
        await Eventually.TrueAsync(() => origin.Connections.First().WasReset);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task WebSocketsEnd(bool byServer)
    {
        await using var origin = new RecordingOrigin(async c =>
        {
            await c.ReadHeadAsync();
            await c.SendAsync("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
            while (await c.ReadAsync(1) is { Length: 1 } one) await c.SendAsync(one);
        });
        await using var pair = await Pair.HttpAsync(origin.Address);
        using var client = await pair.Client.ConnectAsync();
        await client.SendAsync("GET /chat HTTP/1.1\r\nHost: cart\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
        Assert.Equal(101, (await client.ReadAnswerAsync(head: true))!.Status);
        await client.SendAsync("ping");
        Assert.Equal("ping", await client.ReadAsync(4));
        Revoke(pair, byServer);
        Assert.True(await client.EndsWithinAsync(TimeSpan.FromSeconds(10)));
        await Eventually.TrueAsync(() => origin.Connections.First() is { Ended: true } or { WasReset: true });
        await Eventually.TrueAsync(() => pair.ServerSecurity.Connections.Open == 0 && pair.ClientSecurity.Connections.Open == 0);
    }

    [Fact]
    public async Task OthersAreLeftAlone()
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var pair = await Pair.HttpAsync(origin.Address);
        using var client = await pair.Client.ConnectAsync();
        await client.SendAsync(Get);
        Assert.Equal(200, (await client.ReadAnswerAsync())!.Status);
        Assert.Equal(0, pair.ServerSecurity.Connections.Revoke([Authority.Cart, Authority.Web + "2", "spiffe://other.local/ns/shop/sa/web"]));
        await client.SendAsync(Get);
        Assert.Equal(200, (await client.ReadAnswerAsync())!.Status);
        Assert.Equal(1, pair.Server.Sink.Own.Handshakes.ValueOf("inbound"));
    }

    private static void Revoke(Pair pair, bool byServer) =>
        Assert.InRange(byServer ? pair.ServerSecurity.Connections.Revoke([Authority.Web]) : pair.ClientSecurity.Connections.Revoke([Authority.Cart]), 1, 2);
}
