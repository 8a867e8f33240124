using System.Diagnostics;
using System.Net.Sockets;
using Mesh.Tests;
using static Mesh.Sidecar.Tests.Captured.CapturedYaml;

namespace Mesh.Sidecar.Tests.Captured;

/// <summary>Captured connections to destinations that no configuration knows.</summary>
public sealed class UnknownDestinationTests
{
    private const string Answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

    private static readonly string Own = VirtualHost("web", "web, 'web:8000'", "web") + ", " + VirtualHost("rest", "'*'", "PassthroughCluster");

    private static string Static(string rest) => CapturedYaml.File(
        Outbound("outbound", "127.0.0.1", HttpChain("127.0.0.1", 15001, Own), rest),
        string.Join(", ", Passthrough, BlackHole, Cluster("web", "10.77.0.1", 8080)));

    [SkippableTheory]
    [InlineData("GET / HTTP/1.1\r\nHost: web\r\n\r\n", true)]
    [InlineData("GET / HTTP/1.1\r\nAccept: */*\r\nhOsT:  WEB:8000 \r\n\r\n", true)]
    [InlineData("GET / HTTP/1.0\r\nHost: web\r\n\r\n", true)]
    [InlineData("GET / HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n", false)]
    [InlineData("GET / HTTP/1.1\r\nAccept: */*\r\n\r\n", false)]
    [InlineData("GET http://web/ HTTP/1.1\r\nHost: web\r\n\r\n", false)] // for a proxy that is out there
    [InlineData("CONNECT web:80 HTTP/1.1\r\nHost: web\r\n\r\n", false)]
    [InlineData("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", false)]
    [InlineData("\u0016\u0003\u0001\u0000\u0010Host: web\r\n\r\n", false)]
    [InlineData("*1\r\n$4\r\nPING\r\n", false)]
    public async Task OnlyTheMeshsOwnHostsLeaveTheirWay(string request, bool byHost)
    {
        Skip.If(NetworkNamespace.Missing is not null, NetworkNamespace.Missing);
        await using var host = await CapturedHost.StartAsync(Static("PassthroughCluster"));
        using var web = new Peer(host.World, "10.77.0.1", 8080, speaksFirst: false) { Answer = Answer };
        using var other = new Peer(host.World, "10.77.0.1", 8000, speaksFirst: false) { Answer = Answer };
        var socket = await host.DialAsync("10.77.0.1", 8000);
        Assert.EndsWith("hello", await CapturedHost.TalkAsync(socket, request, "hello"), StringComparison.Ordinal);
        if (byHost) Assert.Contains("x-request-id", Assert.Single(web.Seen).Sent.ToString(), StringComparison.OrdinalIgnoreCase);
        else Assert.Equal(request, Assert.Single(other.Seen).Sent.ToString());
        Assert.Equal("", string.Concat((byHost ? other : web).Seen.Select(s => s.Sent)));
    }

    [SkippableFact]
    public async Task AHostIsFoundInPiecesAndALaterForeignOneGoesWhereTheConnectionWasMeantTo()
    {
        Skip.If(NetworkNamespace.Missing is not null, NetworkNamespace.Missing);
        await using var host = await CapturedHost.StartAsync(Static("PassthroughCluster"));
        using var web = new Peer(host.World, "10.77.0.1", 8080, speaksFirst: false) { Answer = Answer };
        using var other = new Peer(host.World, "10.77.0.1", 8000, speaksFirst: false) { Answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother" };
        var socket = await host.DialAsync("10.77.0.1", 8000);
        foreach (var piece in new[] { "G", "ET / HTT", "P/1.1\r\nHo", "st: we", "b\r" })
        {
            await CapturedHost.SendAsync(socket, piece);
            await Task.Delay(20);
        }

        Assert.EndsWith("hello", await CapturedHost.TalkAsync(socket, "\n\r\n", "hello"), StringComparison.Ordinal);
        Assert.EndsWith("other", await CapturedHost.TalkAsync(socket, "GET /b HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n", "other"), StringComparison.Ordinal);
        Assert.Contains("GET /b", string.Concat(other.Seen.Select(s => s.Sent)), StringComparison.Ordinal);
        var proxied = await CapturedHost.TalkAsync(socket, "GET http://elsewhere.example/ HTTP/1.1\r\nHost: elsewhere.example\r\nConnection: close\r\n\r\n");
        Assert.StartsWith("HTTP/1.1 404", proxied, StringComparison.Ordinal);
        Assert.Contains("captured on its way to 10.77.0.1:8000", proxied, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task AHostOfTheMeshIsReachedThoughItsAddressIsNot()
    {
        Skip.If(NetworkNamespace.Missing is not null, NetworkNamespace.Missing);
        await using var host = await CapturedHost.StartAsync(Static("PassthroughCluster"));
        using var web = new Peer(host.World, "10.77.0.1", 8080, speaksFirst: false) { Answer = Answer };
        // Nobody listens there.
        var socket = await host.DialAsync("10.77.0.1", 9999);
        Assert.EndsWith("hello", await CapturedHost.TalkAsync(socket, "GET / HTTP/1.1\r\nHost: web\r\n\r\n", "hello"), StringComparison.Ordinal);
        var refused = await host.DialAsync("10.77.0.1", 9999);
        await Assert.ThrowsAsync<SocketException>(() => CapturedHost.TalkAsync(refused, "GET / HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n"));
    }

    [SkippableFact]
    public async Task AServerThatSpeaksFirstIsNotWaitedFor()
    {
        Skip.If(NetworkNamespace.Missing is not null, NetworkNamespace.Missing);
        await using var host = await CapturedHost.StartAsync(Static("PassthroughCluster"));
        using var server = host.Serve("10.77.0.1", 3306);
        var slowest = 0L;
        for (var i = 0; i < 20; i++)
        {
            var began = Stopwatch.StartNew();
            var socket = await host.DialAsync("10.77.0.1", 3306);
            Assert.Contains("3306", await CapturedHost.TalkAsync(socket, "", "\n"), StringComparison.Ordinal);
            if (i > 5) slowest = Math.Max(slowest, began.ElapsedMilliseconds);
            // Bytes of both sides from here on, and its end in good order.
            Assert.Equal("Host: web", await CapturedHost.TalkAsync(socket, "Host: web", "web"));
            socket.Shutdown(SocketShutdown.Send);
            Assert.Equal("", await CapturedHost.TalkAsync(socket, ""));
        }

        // Far from the second and more that waiting for the client would cost, on a machine that does other things, too.
        Assert.InRange(slowest, 0, 500);
    }

    [SkippableFact]
    public async Task AResetBeforeAnybodySpokeIsAReset()
    {
        Skip.If(NetworkNamespace.Missing is not null, NetworkNamespace.Missing);
        await using var host = await CapturedHost.StartAsync(Static("PassthroughCluster"));
        using var listener = host.World.Socket(AddressFamily.InterNetwork);
        listener.Bind(new System.Net.IPEndPoint(System.Net.IPAddress.Parse("10.77.0.1"), 7000));
        listener.Listen(16);
        for (var i = 0; i < 5; i++)
        {
            // By the server.
            using var client = await host.DialAsync("10.77.0.1", 7000);
            Reset(await listener.AcceptAsync());
            Assert.Equal(SocketError.ConnectionReset, (await Assert.ThrowsAsync<SocketException>(() => CapturedHost.TalkAsync(client, ""))).SocketErrorCode);

            // By the client.
            var other = await host.DialAsync("10.77.0.1", 7000);
            using var server = await listener.AcceptAsync();
            Reset(other);
            Assert.Equal(SocketError.ConnectionReset, (await Assert.ThrowsAsync<SocketException>(() => CapturedHost.TalkAsync(server, ""))).SocketErrorCode);
        }

        static void Reset(Socket socket)
        {
            socket.LingerState = new LingerOption(true, 0);
            socket.Dispose();
        }
    }

    [SkippableFact]
    public async Task WhereOnlyTheRegistryCountsTheRestIsRefusedInWords()
    {
        Skip.If(NetworkNamespace.Missing is not null, NetworkNamespace.Missing);
        await using var host = await CapturedHost.StartAsync(Static("BlackHoleCluster"));
        using var web = new Peer(host.World, "10.77.0.1", 8080, speaksFirst: false) { Answer = Answer };
        using var other = host.Serve("10.77.0.1", 8000);
        var answer = await host.AskAsync("10.77.0.1", 8000, "elsewhere.example");
        Assert.StartsWith("HTTP/1.1 502", answer, StringComparison.Ordinal);
        Assert.Contains("no service of the mesh is at 10.77.0.1:8000, and the mesh lets nothing else out", answer, StringComparison.Ordinal);
        var tcp = await host.DialAsync("10.77.0.1", 8000);
        Assert.Equal(SocketError.ConnectionReset, (await Assert.ThrowsAsync<SocketException>(() => CapturedHost.TalkAsync(tcp, "*1\r\n$4\r\nPING\r\n"))).SocketErrorCode);
        var silent = await host.DialAsync("10.77.0.1", 8000);
        await Assert.ThrowsAsync<SocketException>(() => CapturedHost.TalkAsync(silent, ""));
        Assert.Empty(other.Seen);
        Assert.EndsWith("hello", await CapturedHost.TalkAsync(await host.DialAsync("10.77.0.1", 8000), "GET / HTTP/1.1\r\nHost: web\r\n\r\n", "hello"), StringComparison.Ordinal);
        await Eventually.TrueAsync(() => host.Output.Split("BlackHoleCluster").Length > 3 && host.Output.Contains(" UH ", StringComparison.Ordinal), () => host.Output);
        Assert.Contains("mesh_sidecar_capture_refused_total{direction=\"outbound\",reason=\"registry_only\"} 3", await host.MetricsAsync(), StringComparison.Ordinal);
    }
}
