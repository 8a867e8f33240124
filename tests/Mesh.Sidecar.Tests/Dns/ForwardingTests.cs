using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Dns;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests.Dns;

/// <summary>Everything that is not the mesh's, over real sockets, against resolvers that behave and others that do not.</summary>
public sealed class ForwardingTests
{
    private static byte[] Foreign => Messages.Query("WwW.eXample.com", id: 0xBEEF, udp: 1400, dnssec: true, flags: 0x0130);

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task MessagesAndAnswersPassAsTheyAreButForTheIdentifier(bool tcp)
    {
        byte[]? sent = null;
        using var resolver = new FakeResolver("127.0.0.1", 0, (q, _) => [sent = [.. Messages.Answer(q, 3, "192.0.2.7"), 1, 2, 3]]);
        await using var test = new ResolverTest("nameserver 127.0.0.1", resolver.Port);
        var answer = tcp ? (await test.AskTcpAsync(Foreign))[0] : await test.AskAsync(Foreign);
        var (seen, _, over) = Assert.Single(resolver.Seen);
        Assert.Equal(tcp, over);
        Assert.Equal(Foreign[2..], seen[2..]);
        Assert.Equal(Foreign[..2], answer[..2]);
        Assert.Equal(sent![2..], answer[2..]);
        Assert.Equal(1, test.Server.Counters[DnsOutcome.Forwarded]);
    }

    [Fact]
    public async Task IdentifiersAndPortsAreOthersEachTime()
    {
        using var resolver = new FakeResolver("127.0.0.1", 0, (q, _) => [Messages.Answer(q, 0, "192.0.2.7")]);
        await using var test = new ResolverTest("nameserver 127.0.0.1", resolver.Port);
        for (var i = 0; i < 40; i++) await test.AskAsync(Foreign);
        Assert.InRange(resolver.Seen.Select(s => (s.Message[0] << 8) | s.Message[1]).Distinct().Count(), 37, 40);
        Assert.InRange(resolver.Seen.Select(s => s.Port).Distinct().Count(), 35, 40);
        // None that an application's socket has: to connection tracking both would be one.
        Assert.All(resolver.Seen, s => Assert.False(s.Port is >= 32768 and <= 60999, $"{s.Port}"));
    }

    [Theory]
    [InlineData("32768\t60999\n", 22768 + 4536, false)]
    [InlineData("1024 65535", 0, true)]
    [InlineData("10000 65000", 535, true)]
    [InlineData("10000 60999", 4536, false)]
    [InlineData("5000 9000", 55536, false)]
    [InlineData("", 22768 + 4536, false)]
    [InlineData("99999 x", 22768 + 4536, false)]
    public void PortsAreThoseThatTheKernelGivesToNobody(string range, int count, bool tooFew)
    {
        var ports = new QueryPorts(range);
        Assert.Equal((count, tooFew), (ports.Count, ports.AreTooFew));
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        ports.Bind(socket);
        Assert.Equal(!tooFew, socket.IsBound);
    }

    [Fact]
    public async Task TruncationIsTheClientsBusiness()
    {
        using var resolver = new FakeResolver("127.0.0.1", 0, (q, tcp) =>
        {
            var answer = Messages.Answer(q, 0, tcp ? ["192.0.2.7", "192.0.2.8"] : []);
            if (!tcp) answer[2] |= 2;
            return [answer];
        });
        await using var test = new ResolverTest("nameserver 127.0.0.1", resolver.Port);
        Assert.Equal(2, (await test.AskAsync(Foreign))[2] & 2);
        Assert.False(resolver.Seen.Single().Tcp); // not asked again by us
        Assert.Equal(2, (await test.AskTcpAsync(Foreign))[0][7]);
    }

    [Theory]
    [InlineData("identifier")]
    [InlineData("name")]
    [InlineData("type")]
    [InlineData("query")]
    [InlineData("short")]
    public async Task ForgedAnswersAreNotPassedOn(string what)
    {
        using var resolver = new FakeResolver("127.0.0.1", 0, (q, _) =>
        {
            var forged = Messages.Answer(q, 0, "203.0.113.66");
            if (what == "identifier") forged[1] ^= 1;
            if (what == "name") forged[13] ^= 1;
            if (what == "type") forged[Messages.QuestionEnd(q) - 3] ^= 1;
            if (what == "query") forged[2] &= 0x7F;
            if (what == "short") forged = forged[..11];
            return [forged, forged, Messages.Answer(q, 0, "192.0.2.7")];
        });
        await using var test = new ResolverTest("nameserver 127.0.0.1", resolver.Port);
        Assert.EndsWith("C0000207", Convert.ToHexString(await test.AskAsync(Foreign)), StringComparison.Ordinal);
        Assert.Equal(2, test.Server.Counters[DnsOutcome.Forged]);
    }

    [Fact]
    public async Task AnAnswerFromSomebodyElseIsNotHeard()
    {
        using var stranger = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        stranger.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        FakeResolver? resolver = null;
        resolver = new FakeResolver("127.0.0.1", 0, (q, _) =>
        {
            // The right identifier, the right question, from another port.
            stranger.SendTo(Messages.Answer(q, 0, "203.0.113.66"), new IPEndPoint(IPAddress.Loopback, resolver!.Seen.Last().Port));
            return [Messages.Answer(q, 0, "192.0.2.7")];
        });
        using var owned = resolver;
        await using var test = new ResolverTest("nameserver 127.0.0.1", resolver.Port);
        Assert.EndsWith("C0000207", Convert.ToHexString(await test.AskAsync(Foreign)), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("silent", 2)]
    [InlineData("refuses", 2)]
    [InlineData("absent", 1)]
    public async Task TheNextServerIsAskedWhenOneDoesNotAnswer(string first, int seconds)
    {
        using var second = new FakeResolver("127.0.0.2", 0, (q, _) => [Messages.Answer(q, 0, "192.0.2.7")]);
        using var one = first == "absent" ? null : new FakeResolver("127.0.0.1", second.Port, (q, _) => first == "silent" ? [] : [Messages.Answer(q, 5)]);
        await using var test = new ResolverTest("nameserver 127.0.0.1\nnameserver 127.0.0.2\noptions timeout:2 attempts:2", second.Port);
        foreach (var tcp in new[] { false, true })
        {
            var start = Stopwatch.GetTimestamp();
            var answer = tcp ? (await test.AskTcpAsync(Foreign))[0] : await test.AskAsync(Foreign);
            Assert.EndsWith("C0000207", Convert.ToHexString(answer), StringComparison.Ordinal);
            Assert.InRange(Stopwatch.GetElapsedTime(start).TotalSeconds, 0, seconds);
        }

        if (one is not null) Assert.Equal(2, one.Seen.Count);
    }

    [Fact]
    public async Task ALateAnswerOfTheFirstServerCounts()
    {
        byte[]? held = null;
        using var second = new FakeResolver("127.0.0.2", 0, (_, _) => []);
        using var first = new FakeResolver("127.0.0.1", second.Port, (q, _) =>
        {
            var before = held;
            held = Messages.Answer(q, 0, "192.0.2.7");
            return before is null ? [] : [before]; // its answer to the first try comes with the second
        });
        await using var test = new ResolverTest("nameserver 127.0.0.1\nnameserver 127.0.0.2\noptions timeout:2", second.Port);
        Assert.EndsWith("C0000207", Convert.ToHexString(await test.AskAsync(Foreign)), StringComparison.Ordinal);
        Assert.Equal((2, 1), (first.Seen.Count, second.Seen.Count)); // first, second, first again
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task NobodyAnswersIsSaidInTheClientsOwnTime(bool tcp)
    {
        using var resolver = new FakeResolver("127.0.0.1", 0, (_, _) => []);
        await using var test = new ResolverTest("nameserver 127.0.0.1\noptions timeout:1 attempts:3", resolver.Port);
        var start = Stopwatch.GetTimestamp();
        var answer = tcp ? (await test.AskTcpAsync(Foreign))[0] : await test.AskAsync(Foreign);
        Assert.Equal(2, answer[3] & 15);
        Assert.InRange(Stopwatch.GetElapsedTime(start).TotalSeconds, tcp ? 0 : 0.5, 1.5);
        Assert.Equal(tcp ? 1 : 3, resolver.Seen.Count);
        Assert.Equal(1, test.Server.Counters[DnsOutcome.Unanswered]);
    }

    [Fact]
    public async Task WhoRefusesLastIsPassedOn()
    {
        using var resolver = new FakeResolver("127.0.0.1", 0, (q, _) => [[.. Messages.Answer(q, 5), 77]]);
        await using var test = new ResolverTest("nameserver 127.0.0.1", resolver.Port);
        var answer = await test.AskAsync(Foreign);
        Assert.Equal((5, 77), (answer[3] & 15, answer[^1]));
        Assert.Single(resolver.Seen);
        Assert.Equal((5, 77), ((await test.AskTcpAsync(Foreign))[0][3] & 15, (await test.AskTcpAsync(Foreign))[0][^1]));
    }

    [Fact]
    public async Task ServersTakeTurnsWhereTheFileSaysSo()
    {
        using var second = new FakeResolver("127.0.0.2", 0, (q, _) => [Messages.Answer(q)]);
        using var first = new FakeResolver("127.0.0.1", second.Port, (q, _) => [Messages.Answer(q)]);
        await using var test = new ResolverTest("options rotate\nnameserver 127.0.0.1\nnameserver 127.0.0.2", second.Port);
        for (var i = 0; i < 6; i++) await test.AskAsync(Foreign);
        Assert.Equal((3, 3), (first.Seen.Count, second.Seen.Count));
    }

    [Fact]
    public async Task AChangedFileIsFollowed()
    {
        using var second = new FakeResolver("127.0.0.2", 0, (q, _) => [Messages.Answer(q)]);
        using var first = new FakeResolver("127.0.0.1", second.Port, (q, _) => [Messages.Answer(q)]);
        await using var test = new ResolverTest("nameserver 127.0.0.1", second.Port);
        await test.AskAsync(Foreign);
        Assert.Empty(second.Seen);
        test.Write("nameserver 127.0.0.2");
        await Eventually.PassesAsync(async () =>
        {
            await test.AskAsync(Foreign);
            Assert.NotEmpty(second.Seen);
        });
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task ALoopIsCutAtItsFirstTurn(bool tcp)
    {
        // The resolver is ourselves: by its port here, by captured packets elsewhere.
        var port = DnsPorts.Next();
        await using var test = new ResolverTest("nameserver 127.0.0.1", port, ownPort: port);
        var start = Stopwatch.GetTimestamp();
        var answer = tcp ? (await test.AskTcpAsync(Foreign))[0] : await test.AskAsync(Foreign);
        Assert.Equal((5, 0xBE), (answer[3] & 15, answer[0]));
        Assert.Equal(1, test.Server.Counters[DnsOutcome.Loop]);
        Assert.InRange(Stopwatch.GetElapsedTime(start).TotalSeconds, 0, 1);
    }

    [Fact]
    public void AnIdentifierAndAPortOfOursAtAnotherAddressAreNoLoop()
    {
        var own = new OwnQueries();
        var id = own.Take();
        var from = own.Leave(tcp: false, IPEndPoint.Parse("10.0.0.1:4000"));
        Assert.True(own.Has(id, tcp: false, from));
        foreach (var other in new[] { "127.0.0.1:4000", "10.0.0.1:4001", "[::1]:4000" }) Assert.False(own.Has(id, tcp: false, Destination.Of(IPEndPoint.Parse(other))));
        Assert.False(own.Has(id, tcp: true, from));
        Assert.False(own.Has((ushort)(id ^ 1), tcp: false, from));
        own.Done(tcp: false, from);
        Assert.False(own.Has(id, tcp: false, from));
    }

    [Fact]
    public async Task AZoneTransferIsPassedOnWhole()
    {
        using var resolver = new FakeResolver("127.0.0.1", 0, (q, _) => [Messages.Answer(q, 0, "192.0.2.1"), Messages.Answer(q, 0, "192.0.2.2"), Messages.Answer(q, 0, "192.0.2.3")]);
        await using var test = new ResolverTest("nameserver 127.0.0.1", resolver.Port);
        var transfer = Messages.Query("example.com", 252, id: 7);
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(IPAddress.Loopback, test.Port);
        await socket.SendAsync((byte[])[0, (byte)transfer.Length, .. transfer]);
        var (got, buffer) = (0, new byte[3 * (2 + transfer.Length + 16)]);
        while (got < buffer.Length) got += await socket.ReceiveAsync(buffer.AsMemory(got)).AsTask().WaitAsync(TimeSpan.FromSeconds(20));
        Assert.Equal(3, buffer[^1]);
        Assert.Equal(7, buffer[3]);
    }

    [Fact]
    public async Task MeshNamesAreAnsweredWhileNoResolverIs()
    {
        using var resolver = new FakeResolver("127.0.0.1", 0, (_, _) => []);
        await using var test = new ResolverTest("nameserver 127.0.0.1", resolver.Port);
        // More foreign questions than may be on their way: those are refused at once, the mesh's are answered.
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        await socket.ConnectAsync(IPAddress.Loopback, test.Port);
        await Eventually.PassesAsync(async () =>
        {
            for (var i = 0; i < 200; i++) await socket.SendAsync(Messages.Query($"host{i}.example"));
            Assert.True(test.Server.Counters[DnsOutcome.OverLimit] > 0);
        });
        Assert.InRange(test.Server.Counters.InFlight, 1, 512);
        Assert.Equal("240.0.0.1", Assert.Single(Messages.Of(await test.AskAsync(Messages.Query("cart"))).Addresses));
        Assert.All(await test.AskTcpAsync(Messages.Query("cart"), Messages.Query("web")), a => Assert.Single(Messages.Of(a).Addresses));
    }

    [Theory]
    [InlineData("cart", 2)]
    [InlineData("cart.service.consul", 2)]
    [InlineData("cart.shop.svc.cluster.local", 2)]
    [InlineData("cart.shop.svc", 2)]
    // What has this form is somebody else's, too; and search lists must come to their end.
    [InlineData("cart.shop", 3)]
    [InlineData("www.example.com.default.svc.cluster.local", 3)]
    public async Task BeforeATableNobodyHearsThatAMeshNameDoesNotExist(string name, int code)
    {
        using var resolver = new FakeResolver("127.0.0.1", 0, (q, _) => [Messages.Answer(q, 3)]);
        await using var test = new ResolverTest("nameserver 127.0.0.1", resolver.Port, Given.With(null));
        Assert.Equal(code, (await test.AskAsync(Messages.Query(name)))[3] & 15);
        Assert.Equal(code, (await test.AskTcpAsync(Messages.Query(name)))[0][3] & 15);
    }

    [Theory]
    [InlineData(0, "cart.service.consul", 0)]
    // The name is there, whoever says that it is not, or cannot say.
    [InlineData(3, "cart.service.consul", 0)]
    [InlineData(2, "cart", 0)]
    [InlineData(5, "cart", 0)]
    [InlineData(-1, "cart", 0)]
    [InlineData(3, "cart.other", 3)]
    [InlineData(-1, "cart.other", 2)]
    public async Task ServicesOfTheMeshHaveWhatOthersKnowOfThem(int said, string name, int code)
    {
        using var resolver = new FakeResolver("127.0.0.1", 0, (q, _) => said < 0 ? [] : [Messages.Answer(q, (byte)said, said == 0 ? ["192.0.2.7"] : [])]);
        await using var test = new ResolverTest("nameserver 127.0.0.1\noptions timeout:1", resolver.Port);
        var query = Messages.Query(name, Messages.Srv, udp: 1232);
        foreach (var answer in new[] { await test.AskAsync(query), (await test.AskTcpAsync(query))[0] })
        {
            Assert.Equal((code, said == 0 ? 1 : 0), (answer[3] & 15, answer[7]));
            Assert.Equal(query[..2], answer[..2]);
        }

        Assert.Contains(resolver.Seen, s => s.Tcp);
        Assert.Contains(resolver.Seen, s => !s.Tcp);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task ANameThatIsTheMeshsByTheTimeItIsDeniedIsAnswered(bool tcp)
    {
        var snapshots = Given.With(null);
        using var resolver = new FakeResolver("127.0.0.1", 0, (q, _) =>
        {
            snapshots.Publish(new Snapshot { Number = 2, Names = Given.Read(Given.Shop) });
            return [Messages.Answer(q, 3)];
        });
        await using var test = new ResolverTest("nameserver 127.0.0.1", resolver.Port, snapshots);
        var answer = tcp ? (await test.AskTcpAsync(Messages.Query("cart")))[0] : await test.AskAsync(Messages.Query("cart"));
        Assert.Equal("240.0.0.1", Assert.Single(Messages.Of(answer).Addresses));
    }

    [Theory]
    [InlineData(512)]
    [InlineData(4096)]
    [InlineData(65535)]
    public async Task ALongAnswerComesWholeToWhoTakesIt(int udp)
    {
        // Some stubs on loopback say more in a datagram than any network carries.
        var most = Math.Min(udp, 65507);
        using var resolver = new FakeResolver("127.0.0.1", 0, (q, _) => [[.. Messages.Answer(q, 0, "192.0.2.7"), .. new byte[most - Messages.QuestionEnd(q) - 16]]]);
        await using var test = new ResolverTest("nameserver 127.0.0.1", resolver.Port);
        Assert.Equal(most, (await test.AskAsync(Messages.Query("www.example.com", udp: udp))).Length);
    }

    [Fact]
    public async Task AServerThatTheKernelWillNotDialIsPassedOver()
    {
        using var second = new FakeResolver("127.0.0.1", 0, (q, _) => [Messages.Answer(q, 0, "192.0.2.7")]);
        await using var test = new ResolverTest("nameserver 255.255.255.255\nnameserver 127.0.0.1", second.Port);
        foreach (var answer in new[] { (await test.AskTcpAsync(Foreign))[0], await test.AskAsync(Foreign) })
            Assert.EndsWith("C0000207", Convert.ToHexString(answer), StringComparison.Ordinal);
    }

    [Fact]
    public async Task AnEndWithQueriesOnTheirWayLeavesNothing()
    {
        using var resolver = new FakeResolver("127.0.0.1", 0, (_, _) => []);
        var test = new ResolverTest("nameserver 127.0.0.1", resolver.Port);
        var asked = Assert.ThrowsAnyAsync<Exception>(() => test.AskAsync(Foreign, seconds: 3));
        await Eventually.TrueAsync(() => test.Server.Counters.InFlight == 1);
        await test.DisposeAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(2));
        Assert.Equal(0, test.Server.Counters.InFlight);
        await asked;
    }
}
