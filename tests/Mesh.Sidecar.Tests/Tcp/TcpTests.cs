using System.Net.Sockets;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests.Tcp;

/// <summary>Opaque TCP: bytes, ends, resets and silence.</summary>
public sealed class TcpTests
{
    [Fact]
    public async Task BytesGoBothWaysAndAHalfCloseIsAHalfClose()
    {
        await using var origin = new RecordingOrigin(async c =>
        {
            await c.ReadToEndAsync();
            await c.SendAsync($"got {c.Raw.Length} bytes");
        });
        await using var bed = await TcpAsync(origin);
        using var client = await bed.ConnectAsync();
        var sent = new string('x', 1_000_000);
        await client.SendAsync(sent);
        client.ShutdownSend();
        Assert.Equal("got 1000000 bytes", await client.ReadToEndAsync());
        Assert.False(client.WasReset);
        Assert.Equal(sent, origin.AllBytes);
    }

    [Fact]
    public async Task TheServerMaySpeakFirstAndCloseFirst()
    {
        await using var origin = new RecordingOrigin(async c =>
        {
            await c.SendAsync("220 welcome\r\n");
            c.Socket.Shutdown(SocketShutdown.Send);
            await c.ReadToEndAsync();
        });
        await using var bed = await TcpAsync(origin);
        using var client = await bed.ConnectAsync();
        Assert.Equal("220 welcome\r\n", await client.ReadToEndAsync());
        await client.SendAsync("still talking");
        client.ShutdownSend();
        await Eventually.TrueAsync(() => origin.AllBytes == "still talking");
    }

    [Fact]
    public async Task AResetIsAResetOnTheOtherSide()
    {
        await using var origin = new RecordingOrigin(async c =>
        {
            await c.SendAsync("hi");
            await c.ReadToEndAsync();
        });
        await using var bed = await TcpAsync(origin);
        using var client = await bed.ConnectAsync();
        await client.ReadAsync(2);
        client.Reset();
        await Eventually.TrueAsync(() => origin.Connections.First().WasReset);

        await using var rude = new RecordingOrigin(async c =>
        {
            await c.ReadAsync(2);
            c.Reset();
        });
        await using var other = await TcpAsync(rude);
        using var victim = await other.ConnectAsync();
        await victim.SendAsync("hi");
        await victim.ReadToEndAsync();
        Assert.True(victim.WasReset);
    }

    [Fact]
    public async Task ARefusedConnectionIsTriedElsewhere()
    {
        await using var origin = new RecordingOrigin(c => c.SendAsync("hello"));
        await using var bed = await Bed.StartAsync(a => Bed.Snap(Bed.TcpListener(a, Bed.Cluster(Bed.Nowhere(), origin.Address))));
        for (var i = 0; i < 4; i++)
        {
            using var client = await bed.ConnectAsync();
            Assert.Equal("hello", await client.ReadToEndAsync());
        }
    }

    [Fact]
    public async Task WithoutAServerTheClientSeesAReset()
    {
        await using var bed = await Bed.StartAsync(a => Bed.Snap(Bed.TcpListener(a, Bed.Cluster(Bed.Nowhere()))));
        using var client = await bed.ConnectAsync();
        Assert.Equal("", await client.ReadToEndAsync());
        Assert.True(client.WasReset);
    }

    [Fact]
    public async Task SilenceEndsAConnection()
    {
        await using var origin = new RecordingOrigin(c => c.ReadToEndAsync());
        await using var bed = await Bed.StartAsync(a => Bed.Snap(Bed.TcpListener(a, Bed.Cluster(origin.Address), TimeSpan.FromMilliseconds(200))));
        using var client = await bed.ConnectAsync();
        await client.SendAsync("hi");
        Assert.Equal("", await client.ReadToEndAsync());
        await Eventually.TrueAsync(() => origin.Connections.First().Ended);
    }

    [Theory]
    [InlineData("GET / HTTP/1.1\r\nHost: web\r\n\r\n", "http")]
    [InlineData("POST /x HTTP/1.0\r\nHost: web\r\nContent-Length: 0\r\n\r\n", "http")]
    [InlineData("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "h2")]
    [InlineData("EHLO there\r\n", "tcp")]
    [InlineData("*1\r\n$4\r\nPING\r\n", "tcp")]
    [InlineData("GET / SMTP/1.0\r\n", "tcp")]
    [InlineData("\u0016\u0003\u0001\0\u0010", "tcp")]
    [InlineData("\0\0\0\u0008\u0004", "tcp")]
    public async Task OnePortTellsProtocolsApart(string first, string what)
    {
        await using var web = RecordingOrigin.Friendly("from http");
        await using var raw = new RecordingOrigin(async c =>
        {
            await c.ReadAsync(first.Length);
            await c.SendAsync("from tcp");
        });
        foreach (var drip in (bool[])[false, true])
        {
            await using var bed = await Bed.StartAsync(a => Bed.Snap(Detecting(a, web, raw)));
            using var client = await bed.ConnectAsync();
            if (drip) await client.DripAsync(first);
            else await client.SendAsync(first);
            if (what == "tcp") Assert.Equal("from tcp", await client.ReadAsync(8));
            else if (what == "http") Assert.Equal("from http", (await client.ReadAnswerAsync())!.Body);
            else Assert.Equal(4, (await client.ReadAsync(9))[3]); // a SETTINGS frame
        }
    }

    [Fact]
    public async Task AClientThatWaitsForTheServerGetsTcp()
    {
        await using var web = RecordingOrigin.Friendly();
        await using var raw = new RecordingOrigin(c => c.SendAsync("220 welcome"));
        await using var bed = await Bed.StartAsync(a => Bed.Snap(Detecting(a, web, raw)));
        using var client = await bed.ConnectAsync();
        Assert.Equal("220 welcome", await client.ReadToEndAsync());
    }

    private static Listener Detecting(System.Net.IPEndPoint address, RecordingOrigin web, RecordingOrigin raw) => new()
    {
        Name = "inbound|8080",
        Slot = 0,
        Address = address,
        Direction = Direction.Inbound,
        InspectsHttp = true,
        DetectTimeout = TimeSpan.FromSeconds(3),
        Chains =
        [
            new FilterChain { ApplicationProtocols = ["http/1.0", "http/1.1", "h2c"], Http = new HttpConnectionManager { Routes = Bed.Table(Bed.Cluster(web.Address)) } },
        ],
        DefaultChain = new FilterChain { Tcp = Bed.TcpTo(Bed.Cluster(raw.Address)) },
    };

    private static Task<Bed> TcpAsync(RecordingOrigin origin) => Bed.StartAsync(a => Bed.Snap(Bed.TcpListener(a, Bed.Cluster(origin.Address))));
}
