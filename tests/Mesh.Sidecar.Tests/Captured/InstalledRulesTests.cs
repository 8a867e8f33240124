using System.Net.Sockets;
using Mesh.Tests;
using static Mesh.Sidecar.Tests.Captured.CapturedYaml;

namespace Mesh.Sidecar.Tests.Captured;

/// <summary>The sidecar behind the rules that <c>capture install</c> makes.</summary>
public sealed class InstalledRulesTests
{
    private const string Answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

    private static string Static(bool transparent)
    {
        var itself = HttpChain("10.96.0.10", 80, VirtualHost("any", "'*'", "itself")) + ", " + HttpChain("240.0.0.5", 80, VirtualHost("any", "'*'", "itself")) + ", "
            + HttpChain("fd96::10", 80, VirtualHost("any", "'*'", "itself6")) + ", " + HttpChain("127.0.0.1", 15001, VirtualHost("rest", "'*'", "PassthroughCluster"));
        var inbound = HttpChain("", 8080, VirtualHost("any", "'*'", "app")) + ", " + TcpChain("", 0, "app");
        var fields = transparent ? "transparent: true," : "";
        return CapturedYaml.File(
            string.Join(", ", Outbound("outbound", "127.0.0.1", itself), Outbound("outbound6", "::1", itself), Inbound("inbound", "0.0.0.0", inbound, fields), Inbound("inbound6", "::", inbound, fields)),
            string.Join(", ", Passthrough, Passthrough.Replace("PassthroughCluster", "app", StringComparison.Ordinal), Cluster("itself", "10.77.0.2", 8080), Cluster("itself6", "fd77::2", 8080)));
    }

    [SkippableTheory]
    [LongInlineData("10.96.0.10", "10.77.0.2", false)]
    [InlineData("240.0.0.5", "10.77.0.2", false)] // a virtual address: the rules bring its route
    [InlineData("fd96::10", "fd77::2", false)]
    [LongInlineData("10.77.0.2", "10.77.0.2", false)] // its own address, as if it were another's
    [InlineData("10.96.0.10", "10.77.0.2", true)]
    [LongInlineData("fd96::10", "fd77::2", true)]
    public async Task AWorkloadThatCallsItselfComesThroughItsInboundPort(string called, string own, bool transparent)
    {
        Skip.If(NetworkNamespace.Missing is not null, NetworkNamespace.Missing);
        await using var host = await StartAsync(transparent);
        using var app = new Peer(host.Host, own, 8080, speaksFirst: false) { Answer = Answer };
        var socket = await host.DialAsync(called, called == own ? 8080 : 80);
        for (var i = 0; i < 3; i++) Assert.EndsWith("hello", await CapturedHost.TalkAsync(socket, "GET /me HTTP/1.1\r\nHost: me\r\n\r\n", "hello"), StringComparison.Ordinal);
        Assert.Single(app.Seen);
        // Out and in: twice in the log where both speak HTTP, and it did not go round.
        await Eventually.TrueAsync(() => Count(host.Output, "\"GET /me") == (called == own ? 3 : 6), () => host.Output);
    }

    [SkippableTheory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task OthersComeThroughItToo(bool transparent)
    {
        Skip.If(NetworkNamespace.Missing is not null, NetworkNamespace.Missing);
        await using var host = await StartAsync(transparent);
        foreach (var (own, client) in new[] { ("10.77.0.2", "10.77.0.1"), ("fd77::2", "fd77::1") })
        {
            using var app = new Peer(host.Host, own, 8080, speaksFirst: false) { Answer = Answer };
            using var db = new Peer(host.Host, own, 5432);
            Assert.EndsWith("hello", await CapturedHost.TalkAsync(await host.DialAsync(host.World, own, 8080), "GET / HTTP/1.1\r\nHost: me\r\n\r\n", "hello"), StringComparison.Ordinal);
            Assert.Contains("5432", await CapturedHost.TalkAsync(await host.DialAsync(host.World, own, 5432), "", "\n"), StringComparison.Ordinal);
            Assert.All(app.Seen.Concat(db.Seen), s => Assert.Equal(transparent ? client : own, s.Client.Address.ToString()));
        }
    }

    public static TheoryData<string, int, string> Inside => new()
    {
        { "127.0.0.1", 15006, "GET / HTTP/1.1\r\nHost: x\r\n\r\n" },
        { "10.77.0.2", 15006, "GET / HTTP/1.1\r\nHost: x\r\n\r\n" },
        { "fd77::2", 15006, "GET / HTTP/1.1\r\nHost: x\r\n\r\n" },
        { "127.0.0.1", 15001, "GET http://127.0.0.1:15000/quitquitquit HTTP/1.1\r\nHost: 127.0.0.1:15000\r\n\r\n" },
        { "127.0.0.1", 15001, "GET http://localhost:15000/ HTTP/1.1\r\nHost: localhost:15000\r\n\r\n" },
        { "127.0.0.1", 15001, "GET http://127.0.0.1:15020/metrics HTTP/1.1\r\nHost: 127.0.0.1:15020\r\n\r\n" },
        { "127.0.0.1", 15001, "GET http://10.77.0.2:15006/ HTTP/1.1\r\nHost: 10.77.0.2:15006\r\n\r\n" },
        { "127.0.0.1", 15001, "GET http://127.0.0.1:15001/ HTTP/1.1\r\nHost: 127.0.0.1:15001\r\n\r\n" },
        { "127.0.0.1", 15001, "GET http://0.0.0.0:15001/ HTTP/1.1\r\nHost: 0.0.0.0:15001\r\n\r\n" },
        { "127.0.0.1", 15001, "CONNECT 127.0.0.1:15000 HTTP/1.1\r\nHost: 127.0.0.1:15000\r\n\r\n" },
        { "127.0.0.1", 15001, "CONNECT 127.0.0.1:15001 HTTP/1.1\r\nHost: 127.0.0.1:15001\r\n\r\n" },
        { "127.0.0.1", 15001, "CONNECT 10.77.0.2:15006 HTTP/1.1\r\nHost: 10.77.0.2:15006\r\n\r\n" },
        { "127.0.0.1", 15001, "CONNECT [fd77::2]:15006 HTTP/1.1\r\nHost: [fd77::2]:15006\r\n\r\n" },
        { "127.0.0.1", 15001, "CONNECT [::ffff:127.0.0.1]:15021 HTTP/1.1\r\nHost: x\r\n\r\n" },
    };

    [SkippableTheory]
    [MemberData(nameof(Inside))]
    public async Task ItsApplicationCannotUseItAgainstItself(string address, int port, string request)
    {
        Skip.If(NetworkNamespace.Missing is not null, NetworkNamespace.Missing);
        await using var host = await StartAsync(transparent: false);
        string answer;
        try
        {
            answer = await CapturedHost.TalkAsync(await host.DialAsync(address, port), request, "hint");
        }
        catch (SocketException)
        {
            answer = "";
        }

        if (port == 15006) Assert.Equal("", answer);
        else Assert.StartsWith("HTTP/1.1 508", answer, StringComparison.Ordinal);
        Assert.DoesNotContain("stopping", host.Output, StringComparison.Ordinal);
    }

    [SkippableTheory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task CheckSeesTheSidecarTakeConnections(bool transparent)
    {
        Skip.If(NetworkNamespace.Missing is not null, NetworkNamespace.Missing);
        await using var host = await StartAsync(transparent);
        var said = host.Host.Must(Path.Combine(AppContext.BaseDirectory, "mesh-sidecar"), "capture", "check");
        foreach (var works in (string[])["outbound IPv4", "outbound IPv6", "inbound IPv4", "inbound IPv6"]) Assert.Contains($"works  {works}", said, StringComparison.Ordinal);
        Assert.DoesNotContain("nothing listens", said, StringComparison.Ordinal);
    }

    private static int Count(string text, string part) => text.Split(part).Length - 1;

    private static async Task<CapturedHost> StartAsync(bool transparent)
    {
        var host = await CapturedHost.StartAsync(Static(transparent), "table inet nothing {}");
        try
        {
            host.Host.Must(Path.Combine(AppContext.BaseDirectory, "mesh-sidecar"), "capture", "install", "--mode", transparent ? "tproxy" : "redirect", "--dns", "off");
            return host;
        }
        catch
        {
            await host.DisposeAsync();
            throw;
        }
    }
}
