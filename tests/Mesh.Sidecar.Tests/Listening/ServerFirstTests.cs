using System.Net;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Listening;
using Mesh.Sidecar.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests.Listening;

/// <summary>Silent clients on ports of undeclared protocol: whoever speaks first decides, and what is learned of it.</summary>
public sealed class ServerFirstTests : IAsyncLifetime
{
    private const string Hello = "220 mail.example ESMTP\r\n";
    private static readonly TimeSpan Step = TimeSpan.FromMilliseconds(25);
    private readonly ManualTimeProvider time = new();
    private readonly List<IAsyncDisposable> parts = [];
    private Bed bed = null!;

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        if (bed is not null) await bed.DisposeAsync();
        foreach (var part in parts) await part.DisposeAsync();
    }

    [Theory]
    [InlineData(Direction.Outbound)]
    [InlineData(Direction.Inbound)]
    public async Task TheServerBeginsAfterTheHeadstartAndThenAtOnce(Direction direction)
    {
        var origin = Keep(new RecordingOrigin(GreetAsync));
        await StartAsync(at => Detecting.Listener(at, Bed.Cluster(origin.Address), direction));
        using (var client = await SilentAsync())
        {
            Assert.Empty(origin.Connections);
            time.Advance(ServerFirst.Headstart);
            Assert.Equal(Hello, await client.ReadAsync(Hello.Length));
            await client.SendAsync("EHLO a\r\n");
            Assert.Equal("250 EHLO a\r\n", await client.ReadAsync(12));
        }

        Assert.Equal(1, bed.Path.Verdicts.Learned);
        var verdict = Assert.Single(bed.Path.Verdicts.All);
        Assert.Equal(new VerdictKey(direction, "outbound|80||web.default.svc.cluster.local", null), verdict.Of);

        // From now on the clock need not move.
        using var next = await bed.ConnectAsync();
        Assert.Equal(Hello, await next.ReadAsync(Hello.Length));
        Assert.Equal(2, origin.Connections.Count);
        Assert.Equal(1, Races(direction, "server"));
        Assert.Equal(1, Races(direction, "server_as_known"));

        // It ends by and by; one that is used does not.
        time.Advance(Verdicts.Lifetime - TimeSpan.FromMinutes(1));
        using (var third = await bed.ConnectAsync()) await third.ReadAsync(Hello.Length);
        time.Advance(Verdicts.Lifetime - TimeSpan.FromMinutes(1));
        Assert.Single(bed.Path.Verdicts.All);
        time.Advance(TimeSpan.FromMinutes(2));
        Assert.Empty(bed.Path.Verdicts.All);
        Assert.False(bed.Path.Verdicts.Has(verdict.Of));
    }

    [Theory]
    [InlineData("GET / HTTP/1.1\r\nHost: web\r\n\r\n")]
    [InlineData("POST /order HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi")]
    public async Task ASlowClientOfHttpIsOneAndIsSentOnce(string request)
    {
        var origin = Keep(RecordingOrigin.Friendly());
        await StartAsync(at => Detecting.Listener(at, Bed.Cluster(origin.Address)));
        using var client = await SilentAsync();
        time.Advance(ServerFirst.Headstart);
        await Eventually.TrueAsync(() => origin.Connections.Count == 1);
        await client.SendAsync(request);
        Assert.Equal(200, (await client.ReadAnswerAsync())!.Status);
        Assert.Single(origin.Requests);
        // The one that was dialled meanwhile is closed, with nothing ever sent on it.
        await Eventually.TrueAsync(() => origin.Connections.First().Ended);
        Assert.Equal("", origin.Connections.First().Raw);
        Assert.Equal(1, Races(Direction.Outbound, "client"));
        Assert.Empty(bed.Path.Verdicts.All);
    }

    [Fact]
    public async Task AClientThatBeginsWithBytesGetsTheServerThatWasDialled()
    {
        var origin = Keep(new RecordingOrigin(async c =>
        {
            await c.ReadAsync(4);
            await c.SendAsync("yes");
            await c.ReadToEndAsync();
        }));
        await StartAsync(at => Detecting.Listener(at, Bed.Cluster(origin.Address)));
        using var client = await SilentAsync();
        time.Advance(ServerFirst.Headstart);
        await Eventually.TrueAsync(() => origin.Connections.Count == 1);
        await client.SendAsync("\u0001\u0002\u0003\u0004");
        Assert.Equal("yes", await client.ReadAsync(3));
        Assert.Single(origin.Connections);
        Assert.Empty(bed.Path.Verdicts.All);
        Assert.Equal(1, Races(Direction.Outbound, "client_bytes"));
    }

    /// <summary>What may become a request line does not, and the server may speak or not: the client's bytes are passed on from the first.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task WhatOnlyBeganLikeHttpIsPassedOnWhole(bool greets)
    {
        var origin = Keep(new RecordingOrigin(async c =>
        {
            if (greets) await c.SendAsync(Hello);
            await c.ReadAsync(4);
            await c.SendAsync("PONG");
            await c.ReadToEndAsync();
        }));
        await StartAsync(at => Detecting.Listener(at, Bed.Cluster(origin.Address)));
        using var client = await SilentAsync();
        await client.SendAsync("PI");
        await Task.Delay(20);
        await client.SendAsync("NG");
        await Task.Delay(20);
        var wanted = (greets ? Hello : "") + "PONG";
        Assert.Equal(wanted, await AdvancingAsync(client.ReadAsync(wanted.Length), TimeSpan.FromSeconds(30)));
        Assert.Single(origin.Connections);
    }

    /// <summary>What servers of HTTP say unasked says nothing about the protocol of their clients.</summary>
    [Theory]
    [InlineData("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n")]
    [InlineData("HTTP/1.0 400 Bad\r\n\r\n")]
    [InlineData("H|TTP/1.1 408 Request Timeout\r\n\r\n")]
    [InlineData("\0\0\u0006\u0004\0\0\0\0\0\0\u0003\0\0\0d")]
    [InlineData("\0\0\0\u0004\0\0|\0\0\0")]
    [InlineData("\u0015\u0003\u0001\0\u0002\u0002\u0028")]
    public async Task AServerOfHttpDecidesNothingAndTeachesNothing(string words)
    {
        var served = 0;
        var origin = Keep(new RecordingOrigin(async c =>
        {
            if (Interlocked.Increment(ref served) == 1)
            {
                foreach (var part in words.Split('|'))
                {
                    await c.SendAsync(part);
                    await Task.Delay(5);
                }

                await c.ReadToEndAsync();
            }

            while (await c.ReadRequestAsync() is not null) await c.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }));
        await StartAsync(at => Detecting.Listener(at, Bed.Cluster(origin.Address)));
        using var client = await SilentAsync();
        time.Advance(ServerFirst.Headstart);
        await Eventually.TrueAsync(() => origin.Connections.Count == 1);
        await Task.Delay(50);
        time.Advance(TimeSpan.FromSeconds(4));
        await client.SendAsync("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
        Assert.Equal(200, (await client.ReadAnswerAsync())!.Status);
        Assert.Empty(bed.Path.Verdicts.All);
    }

    /// <summary>What the server said before it closed reaches a client that never says anything, as without us.</summary>
    [Fact]
    public async Task AServerOfHttpThatGivesUpIsHeardByItsSilentClient()
    {
        const string TooLate = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n";
        var origin = Keep(new RecordingOrigin(c => c.SendAsync(TooLate)));
        await StartAsync(at => Detecting.Listener(at, Bed.Cluster(origin.Address)));
        using var client = await SilentAsync();
        time.Advance(ServerFirst.Headstart);
        await Eventually.TrueAsync(() => origin.Connections.Count == 1);
        Assert.Equal(TooLate, await AdvancingAsync(client.ReadToEndAsync(), Detecting.Patience));
        Assert.False(client.WasReset);
        Assert.Empty(bed.Path.Verdicts.All);
    }

    [Fact]
    public async Task AClientThatSaysNothingForAnHourIsStillRight()
    {
        var origin = Keep(RecordingOrigin.Friendly());
        await StartAsync(at => Detecting.Listener(at, Bed.Cluster(origin.Address)));
        using var client = await SilentAsync();
        time.Advance(ServerFirst.Headstart);
        // Before the server is reached a client has but the patience of detection.
        await Eventually.TrueAsync(() => time.LongestWait > TimeSpan.FromMinutes(59.9));
        time.Advance(TimeSpan.FromMinutes(59.9));
        await client.SendAsync("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
        var answer = await client.ReadAnswerAsync();
        Assert.Equal(200, answer!.Status);
        Assert.Contains("x-mesh", origin.Requests.Single().Head, StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public async Task ASilentServerIsBelievedNoLonger()
    {
        var greets = true;
        var origin = Keep(new RecordingOrigin(c => greets ? GreetAsync(c) : c.ReadToEndAsync()));
        await StartAsync(at => Detecting.Listener(at, Bed.Cluster(origin.Address)));
        await LearnAsync();
        greets = false;
        using var client = await bed.ConnectAsync();
        await Eventually.TrueAsync(() => origin.Connections.Count == 2);
        time.Advance(ServerFirst.LongestPause - TimeSpan.FromMilliseconds(1));
        Assert.Single(bed.Path.Verdicts.All);
        await AdvanceUntilAsync(() => bed.Path.Verdicts.All.Count == 0);
        Assert.Equal(1, bed.Path.Verdicts.Dropped);
        // And the connection is what it turns out to be.
        await client.SendAsync("\u0001\u0002");
        await Eventually.TrueAsync(() => origin.Connections.Last().Raw == "\u0001\u0002");
    }

    /// <summary>A client of HTTP where the server is known to begin: the verdict falls if the server has changed, and stands if the client is wrong.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task AClientsHttpIsServedAndTheServerJudgesTheVerdict(bool stillGreets)
    {
        var changed = false;
        var origin = Keep(new RecordingOrigin(async c =>
        {
            if (!changed) await GreetAsync(c);
            if (stillGreets) await c.SendAsync(Hello);
            while (await c.ReadRequestAsync() is not null) await c.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }));
        await StartAsync(at => Detecting.Listener(at, Bed.Cluster(origin.Address), Direction.Inbound));
        await LearnAsync();
        changed = true;
        for (var i = 0; i < 5; i++)
        {
            using var client = await bed.ConnectAsync();
            await client.SendAsync("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
            if (!stillGreets) Assert.Equal(200, (await client.ReadAnswerAsync())!.Status);
        }

        // Clients that speak at once are not raced at all; this one is.
        using (var slow = await bed.ConnectAsync())
        {
            if (stillGreets) Assert.Equal(Hello, await slow.ReadAsync(Hello.Length));
            else
            {
                await Eventually.TrueAsync(() => origin.Connections.Any(c => c.Raw == "" && !c.Ended));
                await slow.SendAsync("GET /late HTTP/1.1\r\nHost: web\r\n\r\n");
                Assert.Equal(200, (await slow.ReadAnswerAsync())!.Status);
                await AdvanceUntilAsync(() => bed.Path.Verdicts.All.Count == 0);
            }
        }

        Assert.Equal(stillGreets ? 1 : 0, bed.Path.Verdicts.All.Count);
    }

    /// <summary>Through both sidecars and mutual TLS, neither of which was told the protocol.</summary>
    [Fact]
    public async Task AGreetingComesThroughMutualTls()
    {
        var origin = Keep(new RecordingOrigin(GreetAsync));
        await using var pair = await Pair.TcpAsync(origin.Address);
        // The control plane has said where the mesh's workloads are: their hello is waited for, however late a busy machine makes it.
        var workloads = MeshRanges.None with { Workloads = new WorkloadAddresses([new WorkloadsPart(1, IPAddress.Loopback.GetAddressBytes(), default)]) };
        pair.Server.Snapshots.Publish(new Snapshot { Number = 1, Listeners = [Detecting.Permissive(pair.Server.Port, Bed.Cluster(origin.Address))], Ranges = workloads });
        pair.Client.Snapshots.Publish(Bed.Snap(Detecting.Listener(pair.Client.Port, pair.Cluster)));
        for (var i = 0; i < 3; i++)
        {
            using var client = await pair.Client.ConnectAsync();
            Assert.Equal(Hello, await client.ReadAsync(Hello.Length));
            await client.SendAsync("EHLO a\r\n");
            Assert.Equal("250 EHLO a\r\n", await client.ReadAsync(12));
        }

        Assert.Equal(3, pair.Server.Sink.Own.Handshakes.ValueOf("inbound"));
        Assert.Single(pair.Client.Path.Verdicts.All);
        // What came by mutual TLS says by its ALPN what it is: nothing is raced, or learned, where it ends.
        Assert.Empty(pair.Server.Path.Verdicts.All);
    }

    [Fact]
    public async Task NobodyIsDialledWhomAPolicyForbidsToConnect()
    {
        var origin = Keep(new RecordingOrigin(GreetAsync));
        var deny = Guarded.Rules("DENY", Guarded.Policy("ns/no[0]", """{"any": true}"""));
        await StartAsync(at => Guarded.Detecting(at, origin.Address, [deny], [deny]));
        using var client = await SilentAsync();
        Assert.Equal("", await AdvancingAsync(client.ReadToEndAsync(), TimeSpan.FromSeconds(16)));
        Assert.Empty(origin.Connections);
        Assert.Empty(bed.Path.Verdicts.All);
        Assert.True(client.WasReset);
    }

    [Fact]
    public async Task WithoutAServerTheClientHasTheTimeItAlwaysHad()
    {
        await StartAsync(at => Detecting.Listener(at, Bed.Cluster(Bed.Nowhere())));
        using var client = await SilentAsync();
        time.Advance(ServerFirst.Headstart);
        await Eventually.TrueAsync(() => bed.Sink.Own.UpstreamConnectFailures.Value > 0);
        time.Advance(Detecting.Patience - TimeSpan.FromSeconds(1));
        await client.SendAsync("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
        Assert.Equal(503, (await client.ReadAnswerAsync())!.Status);

        using var other = await SilentAsync();
        Assert.Equal("", await AdvancingAsync(other.ReadToEndAsync(), Detecting.Patience * 2));
        Assert.True(other.WasReset);
    }

    private static async Task GreetAsync(OriginConnection c)
    {
        await c.SendAsync(Hello);
        for (var at = 0; await c.ReadAsync(8) is { Length: 8 } line; at++) await c.SendAsync("250 " + line);
    }

    private T Keep<T>(T part)
        where T : IAsyncDisposable
    {
        parts.Add(part);
        return part;
    }

    private Task StartAsync(Func<System.Net.IPEndPoint, Listener> listener) => StartAsync(at => Bed.Snap(listener(at)));

    private async Task StartAsync(Func<System.Net.IPEndPoint, Snapshot> snapshot) => bed = await Bed.StartAsync(snapshot, time);

    /// <summary>A client whose first bytes are waited for.</summary>
    private async Task<RawClient> SilentAsync()
    {
        // Two: of its first bytes, and of its headstart.
        var timers = time.TimersMade;
        var client = await bed.ConnectAsync();
        await Eventually.TrueAsync(() => time.TimersMade >= timers + 2);
        return client;
    }

    private async Task LearnAsync()
    {
        using var client = await SilentAsync();
        time.Advance(ServerFirst.Headstart);
        Assert.Equal(Hello, await client.ReadAsync(Hello.Length));
        await Eventually.TrueAsync(() => bed.Path.Verdicts.All.Count == 1);
    }

    private async Task AdvanceUntilAsync(Func<bool> holds)
    {
        await Eventually.TrueAsync(() =>
        {
            if (holds()) return true;
            time.Advance(Step);
            return false;
        });
    }

    private async Task<T> AdvancingAsync<T>(Task<T> task, TimeSpan most)
    {
        for (var passed = TimeSpan.Zero; passed < most && !task.IsCompleted; passed += Step)
        {
            time.Advance(Step);
            await Task.WhenAny(task, Task.Delay(2));
        }

        return await task;
    }

    private long Races(Direction direction, string by) => bed.Sink.Own.Detections.ValueOf(direction == Direction.Outbound ? "outbound" : "inbound", by);
}
