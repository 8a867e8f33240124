using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Mesh.Sidecar.Dns;
using Mesh.Tests;
using Xunit.Abstractions;

namespace Mesh.Sidecar.Tests.Dns;

/// <summary>More questions than anybody can answer. Alone in the process: it counts all sockets there are.</summary>
[Collection("alone")]
public sealed class FloodTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData(10_000, true)]
    [LongInlineData(10_000, false)]
    [InlineData(800, false)]
    public async Task ManyQueriesAtOnceAreAnsweredOrRefusedAndLeaveNothing(int queries, bool silent)
    {
        using var resolver = new FakeResolver("127.0.0.1", 0, (q, _) => silent ? [] : [Messages.Answer(q, 0, "192.0.2.7")]);
        await using var test = new ResolverTest("nameserver 127.0.0.1\noptions timeout:1", resolver.Port);
        var (before, most, codes) = (Sockets(), 0, new ConcurrentDictionary<int, int>());
        using (var client = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp) { ReceiveBufferSize = 1 << 22 })
        {
            await client.ConnectAsync(IPAddress.Loopback, test.Port);
            var hearing = HearAsync(client, codes);
            for (var i = 0; i < queries; i++)
            {
                await client.SendAsync(Messages.Query($"host{i}.example.com", id: (ushort)i, udp: 65535));
                if (i % 500 == 0) most = Math.Max(most, Sockets());
            }

            await Eventually.TrueAsync(() => test.Server.Counters.InFlight == 0 && codes.Values.Sum() > (queries == 10_000 ? 1000 : queries * 9 / 10), () => $"{string.Join(' ', codes.Select(c => $"{c.Key}:{c.Value}"))}, {string.Join(' ', Enum.GetValues<DnsOutcome>().Select(o => $"{o}:{test.Server.Counters[o]}"))}, in flight {test.Server.Counters.InFlight}, asked {resolver.Seen.Count}");
            output.WriteLine($"{queries}: {string.Join(' ', codes.Select(c => $"{c.Key}:{c.Value}"))}, at most {most - before} sockets");
            client.Dispose();
            await hearing;
        }

        // What fits into the waiting room is answered; beyond it is SERVFAIL. (A kernel under pressure may lose a datagram.)
        if (queries < 1000) Assert.Equal([0], codes.Keys);
        Assert.Equal(!silent, codes.ContainsKey(0));
        Assert.All(codes.Keys, code => Assert.Contains(code, new[] { 0, 2 }));
        Assert.InRange(most - before, 0, 513);
        Assert.Equal(0, test.Server.Counters[DnsOutcome.Fault]);
        Assert.Equal("240.0.0.1", Assert.Single(Messages.Of(await test.AskAsync(Messages.Query("cart"))).Addresses));
        await Eventually.TrueAsync(() => Sockets() == before);
    }

    private static async Task HearAsync(Socket client, ConcurrentDictionary<int, int> codes)
    {
        var buffer = new byte[512];
        try
        {
            while (await client.ReceiveAsync(buffer) > 0) codes.AddOrUpdate(buffer[3] & 15, 1, (_, n) => n + 1);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // The test has heard enough.
        }
    }

    private static int Sockets() => Directory.GetFiles("/proc/self/fd").Count(f => new FileInfo(f).LinkTarget?.StartsWith("socket:", StringComparison.Ordinal) == true);
}
