using System.Net.Sockets;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Tests.Testbed;
using Mesh.Tests;
using static Mesh.Sidecar.Tests.Testbed.Guarded;

namespace Mesh.Sidecar.Tests.Tcp;

/// <summary>Policies before opaque TCP: refused before a byte goes to the application.</summary>
public sealed class TcpAuthorizationTests
{
    private const string Anything = """{"any": true}""";
    private const string Local = """{"direct_remote_ip": {"address_prefix": "127.0.0.1", "prefix_len": 32}}""";
    private const string Foreign = """{"direct_remote_ip": {"address_prefix": "10.0.0.0", "prefix_len": 8}}""";

    [Fact]
    public async Task ARefusedConnectionIsResetAndTheApplicationSeesNothing()
    {
        await using var app = new RecordingOrigin(async c => await c.ReadToEndAsync());
        var bed = await Bed.StartAsync(at => Guarded.Tcp(at, app.Address, Rules("DENY", Policy("no-local", Anything, Local))));
        await AssertResetAsync(bed);
        Assert.Empty(app.Connections);
        Assert.Equal(1, bed.Sink.Own.AccessDenied.ValueOf("in", "no-local"));
        Assert.Contains(bed.Sink.Traffic.Tcp.All, s => s.Key.Failure == Failure.AccessDenied);
        await bed.DisposeAsync();
        var line = Assert.Single(bed.Output.ToString().Split('\n'), l => l.Contains("denied by policy", StringComparison.Ordinal));
        Assert.Contains("policy=no-local listener=in filter=rbac0 peer=unauthenticated remote=127.0.0.1:", line, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AServerThatSpeaksFirstIsServedToThoseAllowed()
    {
        await using var app = new RecordingOrigin(async c =>
        {
            await c.SendAsync("220 hello\r\n");
            await c.ReadToEndAsync();
        });
        await using var bed = await Bed.StartAsync(at => Guarded.Tcp(at, app.Address, Rules("DENY", Policy("no", Anything, Foreign)), Rules("ALLOW", Policy("yes", Anything, Local))));
        using var client = await bed.ConnectAsync();
        Assert.Equal("220 hello\r\n", await client.ReadAsync(11));
    }

    [Fact]
    public async Task ACallerThatProvedNothingIsNobody()
    {
        await using var app = new RecordingOrigin(async c => await c.ReadToEndAsync());
        await using var bed = await Bed.StartAsync(at => Guarded.Tcp(at, app.Address, Rules("ALLOW", Policy("who", Anything, """{"authenticated": {}}"""))));
        await AssertResetAsync(bed);
        Assert.Equal(1, bed.Sink.Own.AccessDenied.ValueOf("in", "none"));
    }

    [Fact]
    public async Task ADryRunAndAnAuditLetConnectionsThrough()
    {
        await using var app = new RecordingOrigin(async c =>
        {
            await c.ReadToEndAsync();
            await c.SendAsync("bye");
        });
        await using var bed = await Bed.StartAsync(at => Guarded.Tcp(at, app.Address, Shadow("DENY", Policy("try", Anything, Local)), Rules("LOG", Policy("watch", Anything))));
        using var client = await bed.ConnectAsync();
        client.ShutdownSend();
        Assert.Equal("bye", await client.ReadToEndAsync());
        Assert.Equal((1, 1), (bed.Sink.Own.AccessWouldBeDenied.ValueOf("in", "try"), bed.Sink.Own.AccessAudited.ValueOf("in", "watch")));
    }

    /// <summary>As in Envoy a connection is decided once: what is open lives on under the policy it came under, and the next one is refused.</summary>
    [Fact]
    public async Task ANewPolicyHoldsForNewConnections()
    {
        await using var app = new RecordingOrigin(async c =>
        {
            while (await c.Socket.ReceiveAsync(new byte[100]) > 0) await c.SendAsync("pong");
        });
        await using var bed = await Bed.StartAsync(at => Guarded.Tcp(at, app.Address));
        using var old = await bed.ConnectAsync();
        await old.SendAsync("ping");
        Assert.Equal("pong", await old.ReadAsync(4));
        bed.Snapshots.Publish(Guarded.Tcp(bed.Port, app.Address, Rules("DENY", Policy("no", Anything))));
        await AssertResetAsync(bed);
        await old.SendAsync("ping");
        Assert.Equal("pong", await old.ReadAsync(4));
    }

    /// <summary>Who begins before a policy comes and says the rest afterwards is not let in under what was.</summary>
    [Fact]
    public async Task ANewPolicyHoldsForAConnectionThatHasNotSaidYetWhatItIs()
    {
        await using var app = new RecordingOrigin(async c => await c.ReadToEndAsync());
        await using var bed = await Bed.StartAsync(at => Guarded.Detecting(at, app.Address, [], []));
        using var client = await bed.ConnectAsync();
        await client.SendAsync("G");
        await Eventually.TrueAsync(() => bed.Sink.Own.DownstreamOpen.Value == 1);
        bed.Snapshots.Publish(Guarded.Detecting(bed.Port, app.Address, [], [Rules("DENY", Policy("no", Anything))]));
        await client.SendAsync("\0secret");
        Assert.Equal("", await client.ReadToEndAsync());
        // Where the client takes his time, its server may have been dialled before the policy came; it gets nothing.
        Assert.Equal("", app.AllBytes);
        Assert.Equal(1, bed.Sink.Own.AccessDenied.ValueOf("in", "no"));
    }

    /// <summary>A port with a rule about requests has no chain that passes bytes: what is no HTTP is refused, however it is wrapped.</summary>
    [Theory]
    [InlineData("\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001\u00fc\u0003\u0003")] // a TLS client hello
    [InlineData("\u0000\u0000\u0000\u0008secret")]
    [InlineData("SSH-2.0-x\r\n")]
    [InlineData("GET /\n")] // HTTP/0.9
    [InlineData("GET /\r\n")]
    [InlineData("GET / HTTP/1.1\nHost: web\n\n")]
    [InlineData("\r\n\r\nGET / HTTP/3.0\r\n\r\n")]
    [InlineData("CONNECT app:1 HTTP/1.1\r\nHost: app:1\r\n\r\nsecret")]
    [InlineData("CONNECT 127.0.0.1:1 HTTP/1.0\r\n\r\nsecret")]
    [InlineData("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nsecret that is no frame")]
    [InlineData("PRI * HTTP/1.1\r\nHost: web\r\n\r\n")]
    public async Task WhatIsNoHttpNeverReachesAGuardedApplication(string bytes)
    {
        await using var app = new RecordingOrigin(async c => await c.ReadToEndAsync());
        await using var bed = await Bed.StartAsync(at => Guarded.Http(at, app.Address, Rules("ALLOW", Policy("get", """{"header": {"name": ":method", "exact_match": "NONE"}}"""))));
        using var client = await bed.ConnectAsync();
        await client.SendAsync(bytes);
        client.ShutdownSend();
        var said = await client.ReadToEndAsync();
        Assert.DoesNotContain(" 200 ", said, StringComparison.Ordinal);
        Assert.DoesNotContain(" 101 ", said, StringComparison.Ordinal);
        Assert.Empty(app.Connections);
    }

    [Fact]
    public async Task AClientThatSaysNothingGetsNowhereOnAGuardedPort()
    {
        await using var app = new RecordingOrigin(async c => await c.SendAsync("220 hello\r\n"));
        var time = new ManualTimeProvider();
        await using var bed = await Bed.StartAsync(at => Guarded.Http(at, app.Address, Rules("DENY", Policy("no", Path("/x")))), time);
        using var client = await bed.ConnectAsync();
        for (var i = 0; i < 100 && !await client.EndsWithinAsync(TimeSpan.FromMilliseconds(50)); i++) time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal("", await client.ReadToEndAsync());
        Assert.Empty(app.Connections);
    }

    [Theory]
    [InlineData("Connection: Upgrade\r\nUpgrade: foo\r\n")]
    [InlineData("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n")]
    [InlineData("Connection: Upgrade\r\nUpgrade: h2c\r\n")]
    [InlineData("Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n")]
    [InlineData("Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n")]
    public async Task AnUpgradeOtherThanWebSocketIsAPlainRequestAndRulesHoldForWhatFollows(string fields)
    {
        await using var app = RecordingOrigin.Friendly();
        await using var bed = await Bed.StartAsync(at => Guarded.Http(at, app.Address, Rules("DENY", Policy("no", Path("/admin")))));
        using var client = await bed.ConnectAsync();
        await client.SendAsync($"GET / HTTP/1.1\r\nHost: web\r\n{fields}\r\nGET /admin HTTP/1.1\r\nHost: web\r\n\r\n");
        Assert.Equal(200, (await client.ReadAnswerAsync())!.Status);
        Assert.Equal(403, (await client.ReadAnswerAsync())!.Status);
        Assert.DoesNotContain("upgrade", app.AllBytes, StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotContain("admin", app.AllBytes, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AWebSocketIsAskedForLikeAnyRequest()
    {
        await using var app = new RecordingOrigin(async c =>
        {
            await c.ReadRequestAsync();
            await c.SendAsync("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhi");
            await c.ReadToEndAsync();
        });
        await using var bed = await Bed.StartAsync(at => Guarded.Http(at, app.Address, Rules("DENY", Policy("no", Path("/admin")))));
        const string Upgrade = "Host: web\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        using var refused = await bed.ConnectAsync();
        await refused.SendAsync("GET /admin HTTP/1.1\r\n" + Upgrade + "GET / HTTP/1.1\r\nHost: web\r\n\r\n");
        Assert.Equal(403, (await refused.ReadAnswerAsync())!.Status);
        using var allowed = await bed.ConnectAsync();
        await allowed.SendAsync("GET /ok HTTP/1.1\r\n" + Upgrade);
        Assert.Equal(101, (await allowed.ReadAnswerAsync())!.Status);
        Assert.Equal("hi", await allowed.ReadAsync(2));
    }

    [Fact]
    public async Task EachChainOfAPortHasItsOwnRules()
    {
        await using var app = new RecordingOrigin(async c => await c.ReadToEndAsync());
        await using var bed = await Bed.StartAsync(at => Guarded.Detecting(at, app.Address, http: [Rules("DENY", Policy("no-http", Anything))], tcp: [Rules("DENY", Policy("no-tcp", Anything, Foreign))]));
        Assert.Equal(403, (await bed.AskAsync("GET / HTTP/1.1\r\nHost: web\r\n\r\n"))!.Status);
        using var client = await bed.ConnectAsync();
        await client.SendAsync("\0\0bytes");
        await Eventually.TrueAsync(() => app.AllBytes == "\0\0bytes");
    }

    /// <summary>The reset may come as early as the connection is made.</summary>
    private static async Task AssertResetAsync(Bed bed)
    {
        try
        {
            using var client = await bed.ConnectAsync();
            Assert.Equal("", await client.ReadToEndAsync());
            Assert.True(client.WasReset);
        }
        catch (SocketException e)
        {
            Assert.Equal(SocketError.ConnectionReset, e.SocketErrorCode);
        }
    }
}
