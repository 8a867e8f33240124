using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Mesh.Sidecar.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests.Http;

/// <summary>What is tunnelled (CONNECT, WebSocket): bound in silence, ends of one direction, ends of a client.</summary>
public sealed class TunnelTests
{
    private const string Connect = "CONNECT web:80 HTTP/1.1\r\n\r\n";
    private const string WebSocket = "GET /chat HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    private readonly ManualTimeProvider time = new();

    [Theory]
    [InlineData(Connect)]
    [InlineData(WebSocket)]
    public async Task AnHourOfSilenceEndsBothSides(string request)
    {
        await using var origin = Echo(request == WebSocket);
        await using var bed = await StartAsync(origin);
        using var client = await OpenAsync(bed, request);
        time.Advance(TimeSpan.FromMinutes(50));
        await EchoedAsync(client, "half way");
        time.Advance(TimeSpan.FromMinutes(50)); // since the last byte it is less than the bound
        await EchoedAsync(client, "still here");
        time.Advance(TimeSpan.FromMinutes(80));
        await client.ReadToEndAsync();
        await Eventually.TrueAsync(() => Assert.Single(origin.Connections).Ended || origin.Connections.First().WasReset);
        await GoneAsync(bed);
    }

    [Theory]
    [InlineData(Connect)]
    [InlineData(WebSocket)]
    public async Task AClientThatIsGoneEndsTheUpstream(string request)
    {
        await using var origin = Echo(request == WebSocket);
        await using var bed = await StartAsync(origin);
        using var client = await OpenAsync(bed, request);
        await EchoedAsync(client, "hello");
        client.Reset();
        await Eventually.TrueAsync(() => Assert.Single(origin.Connections).Ended || origin.Connections.First().WasReset);
        await GoneAsync(bed);
    }

    [Fact]
    public async Task AClientThatSaysNoMoreStillHears()
    {
        await using var origin = Echo(upgraded: false);
        await using var bed = await StartAsync(origin);
        using var client = await OpenAsync(bed, Connect);
        await EchoedAsync(client, "hello");
        client.ShutdownSend();
        Assert.Equal("bye", await client.ReadToEndAsync());
        await GoneAsync(bed);
    }

    /// <summary>Kestrel takes the end of a client's stream for the end of its connection; WebSockets say goodbye in frames before it.</summary>
    [Fact]
    public async Task AWebSocketClientThatSaysNoMoreEndsTheUpstream()
    {
        await using var origin = Echo(upgraded: true);
        await using var bed = await StartAsync(origin);
        using var client = await OpenAsync(bed, WebSocket);
        await EchoedAsync(client, "hello");
        client.ShutdownSend();
        await client.ReadToEndAsync();
        await Eventually.TrueAsync(() => Assert.Single(origin.Connections).Ended || origin.Connections.First().WasReset);
        await GoneAsync(bed);
    }

    [Fact]
    public async Task AClientThatIsGoneBeforeItsTunnelLeavesNoConnectionBehind()
    {
        // A server whose queue is full answers no new connection until it accepts: time for the client to go.
        using var server = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        server.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        server.Listen(0);
        var to = (IPEndPoint)server.LocalEndPoint!;
        using var filler = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await filler.ConnectAsync(to);
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(to)));
        using var client = await bed.ConnectAsync();
        await client.SendAsync(Connect + "early");
        await Eventually.TrueAsync(() => Connecting(to));
        client.Reset();
        using var first = await server.AcceptAsync();
        using var second = await server.AcceptAsync().WaitAsync(TimeSpan.FromSeconds(15));
        using var bound = new CancellationTokenSource(TimeSpan.FromSeconds(5));
        try
        {
            while (await second.ReceiveAsync(new byte[100], SocketFlags.None, bound.Token) > 0)
            {
            }
        }
        catch (SocketException e)
        {
            Assert.Equal(SocketError.ConnectionReset, e.SocketErrorCode);
        }

        await GoneAsync(bed);
    }

    private Task<Bed> StartAsync(RecordingOrigin origin) => Bed.StartAsync(address => Bed.Snap(Bed.HttpListener(address, Bed.Table(Bed.Cluster(origin.Address)))), time);

    private static async Task<RawClient> OpenAsync(Bed bed, string request)
    {
        var client = await bed.ConnectAsync();
        await client.SendAsync(request);
        Assert.Equal(request == WebSocket ? 101 : 200, (await client.ReadAnswerAsync(head: true))!.Status);
        return client;
    }

    private static async Task EchoedAsync(RawClient client, string text)
    {
        await client.SendAsync(text);
        Assert.Equal(text, await client.ReadAsync(text.Length));
    }

    private static Task GoneAsync(Bed bed) => Eventually.TrueAsync(
        () => bed.Sink.Own.UpstreamOpen.Value == 0 && bed.Sink.Own.DownstreamOpen.Value == 0 && bed.Sink.Own.RequestsActive.Value == 0,
        () => $"upstream {bed.Sink.Own.UpstreamOpen.Value}, downstream {bed.Sink.Own.DownstreamOpen.Value}, requests {bed.Sink.Own.RequestsActive.Value}");

    /// <summary>True while a connection to that port is being made: state SYN_SENT in the kernel's table.</summary>
    private static bool Connecting(IPEndPoint to) => File.ReadLines("/proc/net/tcp").Skip(1)
        .Select(l => l.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        .Any(c => c[3] == "02" && c[2].EndsWith(":" + to.Port.ToString("X4", CultureInfo.InvariantCulture), StringComparison.Ordinal));

    private static RecordingOrigin Echo(bool upgraded) => new(async c =>
    {
        if (upgraded)
        {
            await c.ReadHeadAsync();
            await c.SendAsync("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
        }

        while (await c.ReadAsync(1) is { Length: 1 } one) await c.SendAsync(one);
        if (!c.WasReset) await c.SendAsync("bye");
    });
}
