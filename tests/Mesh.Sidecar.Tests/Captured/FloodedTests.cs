using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text.RegularExpressions;
using Mesh.Tests;
using static Mesh.Sidecar.Tests.Captured.CapturedYaml;

namespace Mesh.Sidecar.Tests.Captured;

/// <summary>Clients that come by the thousands: what they take is bounded, others are served meanwhile, and nothing of them stays.</summary>
[Collection("alone")]
public sealed class FloodedTests
{
    private const string Answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    private const string Detected = "application_protocols: [http/1.0, http/1.1, h2c]";

    // Opens connections and says nothing, the begin of a request, or the begin of a hello; then holds them.
    private const string Attacker = """
        import socket, sys, time
        address, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
        said, kept, refused = [b"", b"GET / HT", b"\x16\x03"], [], 0
        for i in range(count):
            s = socket.socket()
            s.settimeout(5)
            try:
                s.connect((address, port))
                if said[i % 3]: s.send(said[i % 3])
            except OSError:
                refused += 1
            kept.append(s)
        print("holding", count - refused, flush=True)
        time.sleep(600)
        """;

    private static readonly string Static = CapturedYaml.File(
        string.Join(", ",
            Outbound("outbound", "127.0.0.1", HttpChain("127.0.0.1", 15001, VirtualHost("rest", "'*'", "PassthroughCluster"))),
            Inbound("inbound", "0.0.0.0", string.Join(", ", HttpChain("", 8080, VirtualHost("any", "'*'", "\"inbound|8080||\""), Detected), TcpChain("", 8080, "\"inbound|8080||\""), TcpChain("", 0, "\"inbound|8080||\"")))),
        Passthrough + ", " + Passthrough.Replace("PassthroughCluster", "\"inbound|8080||\"", StringComparison.Ordinal));

    [SkippableFact]
    public async Task FifteenThousandHalfOpenConnectionsOfOneClientAreBoundedAndOthersAreServed()
    {
        const int Connections = 15_000;
        Skip.If(NetworkNamespace.Missing is not null, NetworkNamespace.Missing);
        await using var host = await CapturedHost.StartAsync(Static);
        host.World.Ip("address add 10.77.0.3/24 dev eth0");
        using var web = new Peer(host.Host, "10.77.0.2", 8080, speaksFirst: false) { Answer = Answer };
        Assert.EndsWith("hello", await AskAsync(host), StringComparison.Ordinal);
        var (descriptors, before) = (host.Descriptors, host.ResidentMegabytes);

        await using (var attacker = host.World.Start("python3", "-c", Attacker, "10.77.0.2", "8080", Connections.ToString(CultureInfo.InvariantCulture)))
        {
            var asked = 0;
            await Eventually.TrueAsync(() =>
            {
                Assert.EndsWith("hello", AskAsync(host).GetAwaiter().GetResult(), StringComparison.Ordinal);
                asked++;
                return attacker.Output.Contains("holding", StringComparison.Ordinal) || attacker.HasExited;
            }, () => attacker.Output);
            Assert.Contains("holding", attacker.Output, StringComparison.Ordinal);
            Assert.True(asked > 3, $"asked {asked} times");
            // A fifth of the descriptors for each direction; a connection takes two.
            Assert.InRange(host.Descriptors, 0, 12_000);
            Assert.InRange(host.ResidentMegabytes - before, 0, 150);
            Assert.Single(host.Output.Split('\n'), l => l.Contains("as many connections are open as may be", StringComparison.Ordinal));
            Assert.Contains("most_of_one_client=", host.Output, StringComparison.Ordinal);
            var refused = Regex.Match(await host.MetricsAsync(), @"connections_over_limit_total (\d+)");
            Assert.InRange(int.Parse(refused.Groups[1].Value, CultureInfo.InvariantCulture), 5_000, Connections);
        }

        await Eventually.TrueAsync(() => host.Descriptors <= descriptors + 20, () => $"{descriptors} descriptors before, {host.Descriptors} after");
        Assert.EndsWith("hello", await AskAsync(host), StringComparison.Ordinal);
    }

    /// <summary>Ten thousand connections that end in all ways, both directions: no descriptor stays.</summary>
    [SkippableFact]
    [Trait("Category", "Long")]
    public async Task NoDescriptorStaysOfConnectionsThatEndInAllWays()
    {
        const int Rounds = 600;
        Skip.If(NetworkNamespace.Missing is not null, NetworkNamespace.Missing);
        await using var host = await CapturedHost.StartAsync(Static);
        using var web = new Peer(host.Host, "10.77.0.2", 8080, speaksFirst: false) { Answer = Answer };
        using var echo = new Peer(host.World, "10.77.0.1", 7000, speaksFirst: false);
        using var mail = new Peer(host.World, "10.77.0.1", 2525);
        using var rude = new Resetting(host.World, "10.77.0.1", 7001);
        await EndInAllWaysAsync(host, 10);
        var before = await SettledAsync(host);
        await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => EndInAllWaysAsync(host, Rounds / 4)));
        var took = Regex.Match(await host.MetricsAsync(), @"mesh_sidecar_downstream_connections_total (\d+)");
        Assert.InRange(int.Parse(took.Groups[1].Value, CultureInfo.InvariantCulture), 10_000, 30_000);
        await Eventually.TrueAsync(() => host.Descriptors <= before + 20, () => $"{before} descriptors before, {host.Descriptors} after");
        Assert.Contains("mesh_sidecar_downstream_connections_open 0", await host.MetricsAsync(), StringComparison.Ordinal);
    }

    private static async Task EndInAllWaysAsync(CapturedHost host, int rounds)
    {
        (NetworkNamespace From, string Address, int Port)[] ways =
            [(host.World, "10.77.0.2", 8080), (host.Host, "10.77.0.1", 7000), (host.Host, "10.77.0.1", 2525), (host.Host, "10.77.0.1", 7001), (host.Host, "10.77.0.1", 7999), (host.World, "10.77.0.2", 15006)];
        string[] words = ["", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\u0016\u0003\u0001"];
        for (var i = 0; i < rounds; i++)
        {
            foreach (var (from, address, port) in ways)
            {
                foreach (var word in words) await EndAsync(from, new IPEndPoint(IPAddress.Parse(address), port), word, i);
            }
        }
    }

    /// <summary>One connection: said something, heard something perhaps, and then ended in order, by halves or by a reset.</summary>
    private static async Task EndAsync(NetworkNamespace from, IPEndPoint to, string word, int way)
    {
        using var socket = from.Socket(AddressFamily.InterNetwork);
        using var bound = new CancellationTokenSource(TimeSpan.FromMilliseconds(way % 7 == 0 ? 40 : 3));
        try
        {
            using var connecting = new CancellationTokenSource(TimeSpan.FromSeconds(5));
            await socket.ConnectAsync(to, connecting.Token);
            if (word.Length > 0) await CapturedHost.SendAsync(socket, word);
            if (way % 2 == 0) await socket.ReceiveAsync(new byte[256], bound.Token);
            if (way % 3 == 0) socket.LingerState = new LingerOption(true, 0);
            else if (way % 3 == 1) socket.Shutdown(SocketShutdown.Send);
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException)
        {
            // Cut by the other side, or nobody spoke: an ending like others.
        }
    }

    private static async Task<int> SettledAsync(CapturedHost host)
    {
        var last = -1;
        await Eventually.TrueAsync(() =>
        {
            var (now, before) = (host.Descriptors, last);
            last = now;
            if (now != before) Thread.Sleep(300);
            return now == before;
        });
        return last;
    }

    /// <summary>A request of another client than the attacker.</summary>
    private static async Task<string> AskAsync(CapturedHost host)
    {
        using var socket = host.World.Socket(AddressFamily.InterNetwork);
        socket.Bind(new IPEndPoint(IPAddress.Parse("10.77.0.3"), 0));
        using var bound = new CancellationTokenSource(TimeSpan.FromSeconds(10));
        await socket.ConnectAsync(new IPEndPoint(IPAddress.Parse("10.77.0.2"), 8080), bound.Token);
        return await CapturedHost.TalkAsync(socket, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "hello");
    }

    /// <summary>A server that resets whoever comes.</summary>
    private sealed class Resetting : IDisposable
    {
        private readonly Socket listener;

        public Resetting(NetworkNamespace where, string address, int port)
        {
            listener = where.Socket(AddressFamily.InterNetwork);
            listener.Bind(new IPEndPoint(IPAddress.Parse(address), port));
            listener.Listen(512);
            _ = AcceptAsync();
        }

        public void Dispose() => listener.Dispose();

        private async Task AcceptAsync()
        {
            try
            {
                while (true)
                {
                    using var socket = await listener.AcceptAsync();
                    socket.LingerState = new LingerOption(true, 0);
                }
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                // Closed.
            }
        }
    }
}
