using System.Net;
using System.Net.Sockets;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Listening;
using Mesh.Sidecar.Tests.Testbed;
using Mesh.Tests;
using static Mesh.Sidecar.Tests.Captured.CapturedYaml;

namespace Mesh.Sidecar.Tests.Captured;

/// <summary>Inbound traffic that rules bring, with real rules and sockets.</summary>
public sealed class CapturedInboundTests
{
    private const string Tproxy = """
        table inet mesh {
          chain inbound { type filter hook prerouting priority mangle;
            iifname lo return
            ct direction reply return
            meta nfproto ipv4 meta l4proto tcp tproxy ip to :15006 accept
            meta nfproto ipv6 meta l4proto tcp tproxy ip6 to :15006 accept
          }
          chain answers { type route hook output priority mangle;
            meta skuid 1337 oifname lo fib saddr type != local ct mark set 1337
            ct direction reply ct mark 1337 meta mark set 1337
          }
        }
        """;

    private const string Answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

    private static readonly string Chains = string.Join(", ",
        HttpChain("", 8080, VirtualHost("any", "'*'", "\"inbound|8080||\"")),
        TcpChain("", 0, "InboundPassthroughCluster"));

    private static string Static(bool transparent = false) => CapturedYaml.File(
        string.Join(", ",
            Inbound("inbound", "0.0.0.0", Chains, transparent ? "transparent: true," : ""),
            Inbound("inbound6", "::", Chains, transparent ? "transparent: true," : "")),
        Passthrough.Replace("PassthroughCluster", "\"inbound|8080||\"", StringComparison.Ordinal) + ", "
        + Passthrough.Replace("PassthroughCluster", "InboundPassthroughCluster", StringComparison.Ordinal));

    [SkippableTheory]
    [InlineData("10.77.0.2", false)]
    [InlineData("fd77::2", false)]
    [InlineData("10.77.0.2", true)]
    [InlineData("fd77::2", true)]
    public async Task GoesToTheAddressAndPortItWasSentTo(string address, bool transparent)
    {
        Skip.If(NetworkNamespace.Missing is not null, NetworkNamespace.Missing);
        await using var host = await StartAsync(transparent);
        // The application listens on this address alone, not on loopback, and on a port nobody declared.
        using var web = new Peer(host.Host, address, 8080, speaksFirst: false) { Answer = Answer };
        using var db = new Peer(host.Host, address, 5432);
        for (var i = 0; i < 3; i++)
        {
            var http = await host.DialAsync(host.World, address, 8080);
            var get = $"GET /{i} HTTP/1.1\r\nHost: 127.0.0.1:15000\r\n\r\n";
            Assert.EndsWith("hello", await CapturedHost.TalkAsync(http, get, "hello"), StringComparison.Ordinal);
            Assert.EndsWith("hello", await CapturedHost.TalkAsync(http, get, "hello"), StringComparison.Ordinal);
        }

        // One connection served them all; with TPROXY, all of one client.
        Assert.Single(web.Seen);
        var tcp = await host.DialAsync(host.World, address, 5432);
        Assert.Contains("5432", await CapturedHost.TalkAsync(tcp, "", "\n"), StringComparison.Ordinal);
        Assert.Equal("ping", await CapturedHost.TalkAsync(tcp, "ping", "ping"));

        var client = ((IPEndPoint)tcp.LocalEndPoint!).Address;
        var seen = web.Seen.Concat(db.Seen).Select(s => s.Client.Address).Distinct().ToList();
        Assert.Equal(transparent ? client : IPAddress.Parse(address), Assert.Single(seen));
        var logged = address.Contains(':', StringComparison.Ordinal) ? $"[{address}]:8080" : $"{address}:8080";
        await Eventually.TrueAsync(() => host.Output.Contains(logged, StringComparison.Ordinal), () => host.Output);
    }

    [SkippableFact]
    public async Task ClientsOfTheSamePortDoNotGetInEachOthersWay()
    {
        Skip.If(NetworkNamespace.Missing is not null, NetworkNamespace.Missing);
        await using var host = await StartAsync(transparent: true);
        using var db = new Peer(host.Host, "10.77.0.2", 5432, speaksFirst: false);
        var sockets = new List<Socket>();
        for (var i = 0; i < 100; i++) sockets.Add(await host.DialAsync(host.World, "10.77.0.2", 5432));
        for (var i = 0; i < sockets.Count; i++) Assert.Equal($"ping {i};", await CapturedHost.TalkAsync(sockets[i], $"ping {i};", ";"));
        Assert.All(db.Seen, s => Assert.Equal("10.77.0.1", s.Client.Address.ToString()));
    }

    /// <summary>What a client elsewhere must not get: (what it does, why it is refused).</summary>
    public static TheoryData<string, int, string, bool> Refusals => new()
    {
        { "10.77.0.2", 15006, "not_redirected", false }, // the port that captures
        { "10.77.0.2", 15000, "own_port", false }, // admin, listening everywhere here
        { "10.77.0.2", 15020, "own_port", false },
        { "10.88.0.9", 8080, "foreign_address", false }, // routed through here to somebody else
        { "fd77::2", 15006, "not_redirected", false },
        { "fd88::9", 8080, "foreign_address", false },
        { "10.77.0.2", 15006, "not_redirected", true },
        { "10.77.0.2", 15000, "own_port", true },
        { "fd77::2", 15000, "own_port", true },
    };

    [SkippableTheory]
    [MemberData(nameof(Refusals))]
    public async Task IsNoRelay(string address, int port, string reason, bool transparent)
    {
        Skip.If(NetworkNamespace.Missing is not null, NetworkNamespace.Missing);
        await using var host = await StartAsync(transparent, "--admin", "[::]:15000", "--metrics", "[::]:15020");
        host.World.Ip("route add 10.88.0.0/24 via 10.77.0.2");
        host.World.Ip("-6 route add fd88::/64 via fd77::2");
        string answer;
        try
        {
            var socket = await host.DialAsync(host.World, address, port);
            answer = await CapturedHost.TalkAsync(socket, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        }
        catch (SocketException)
        {
            answer = "";
        }

        Assert.Equal("", answer);
        await Eventually.TrueAsync(() => host.Output.Contains($"reason={reason}", StringComparison.Ordinal), () => host.Output);
    }

    [Theory]
    [InlineData("127.0.0.1", "10.77.0.1", "loopback")] // by a wire whose owner turned the kernel's own check off
    [InlineData("::1", "fd77::1", "loopback")]
    [InlineData("127.0.0.1", null, "loopback")]
    [InlineData("127.0.0.1", "127.0.0.1", null)]
    [InlineData("127.0.0.1", "::ffff:127.0.0.1", null)]
    [InlineData(null, "10.77.0.1", "not_redirected")]
    [InlineData("192.0.2.1", "127.0.0.1", "foreign_address")]
    [InlineData("0.0.0.0", "10.77.0.1", "foreign_address")]
    public void LoopbackIsForWhoIsThere(string? original, string? client, string? reason)
    {
        var gate = new CaptureGate(new OwnPorts(new LocalAddresses(TimeProvider.System), TimeProvider.System));
        var listener = Bed.TcpListener(new IPEndPoint(IPAddress.Any, 15006), Bed.Cluster()) with { Direction = Direction.Inbound, IsCaptured = true };
        Assert.Equal(reason, gate.Check(Bed.Snap(listener), listener, EndPoint(original, 9000), EndPoint(client, 40000))?.Reason);
        Assert.Null(gate.Check(Bed.Snap(listener), listener with { IsCaptured = false }, EndPoint(original, 9000), EndPoint(client, 40000)));
    }

    private static IPEndPoint? EndPoint(string? address, int port) => address is null ? null : new IPEndPoint(IPAddress.Parse(address), port);

    private static async Task<CapturedHost> StartAsync(bool transparent, params string[] arguments)
    {
        var host = await CapturedHost.StartAsync(Static(transparent), transparent ? Tproxy : CapturedHost.Redirect, arguments);
        if (!transparent) return host;
        foreach (var family in new[] { "-4", "-6" })
        {
            host.Host.Ip($"{family} rule add fwmark 1337 lookup 133");
            host.Host.Ip($"{family} route add local default dev lo table 133");
        }

        return host;
    }
}
