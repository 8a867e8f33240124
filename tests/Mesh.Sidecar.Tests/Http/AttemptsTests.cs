using Mesh.Sidecar.Config;
using Mesh.Sidecar.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests.Http;

/// <summary>Tries: what is sent again and, as important, what is not. The origin counts.</summary>
public sealed class AttemptsTests
{
    private const string Get = "GET / HTTP/1.1\r\nHost: web\r\n\r\n";
    private const string Post = "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 5\r\n\r\nhello";

    [Theory]
    [InlineData(Get)]
    [InlineData(Post)]
    public async Task ARefusedConnectionIsTriedElsewhere(string request)
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(Bed.Nowhere(), origin.Address)));
        for (var i = 0; i < 4; i++) Assert.Equal(200, (await bed.AskAsync(request))!.Status);
        Assert.Equal(4, origin.Requests.Count());
        Assert.Equal(1, bed.Sink.Own.Ejections.Value);
        Assert.Equal(1, bed.Sink.Own.Retries.Value); // the second time round it is known to be out
    }

    [Fact]
    public async Task WhenNobodyTakesConnectionsTheClientIsToldWhy()
    {
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(Bed.Nowhere(), Bed.Nowhere())));
        var answer = await bed.AskAsync(Get);
        Assert.Equal(503, answer!.Status);
        Assert.Equal(["URX"], answer.Values("x-mesh-failure"));
        Assert.Contains("Connection refused", answer.Body, StringComparison.Ordinal);
        Assert.Contains("rules/test.yaml:7", answer.Body, StringComparison.Ordinal);
        Assert.Contains("outbound|80||web.default.svc.cluster.local", answer.Body, StringComparison.Ordinal);
        Assert.Equal(3, bed.Sink.Own.UpstreamConnectFailures.Value);
    }

    [Fact]
    public async Task WithoutEndpointsItIsSaidSo()
    {
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster()));
        var answer = await bed.AskAsync(Get);
        Assert.Equal(503, answer!.Status);
        Assert.Equal(["UH"], answer.Values("x-mesh-failure"));
    }

    [Theory]
    [InlineData(Get)]
    [InlineData(Post)]
    public async Task ARequestThatMayHaveBeenProcessedIsNotSentAgain(string request)
    {
        // The connection is in use: the second request on it gets no answer but an end. Anybody's client library would try again.
        await using var origin = new RecordingOrigin(async c =>
        {
            await c.ReadRequestAsync();
            await c.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            await c.ReadRequestAsync();
        });
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        using var client = await bed.ConnectAsync();
        await client.SendAsync(request);
        Assert.Equal(200, (await client.ReadAnswerAsync())!.Status);
        await client.SendAsync(request);
        var answer = await client.ReadAnswerAsync();
        Assert.Equal(502, answer!.Status);
        Assert.Equal(["UC"], answer.Values("x-mesh-failure"));
        Assert.Contains("in use before", answer.Body, StringComparison.Ordinal);
        Assert.Equal(2, origin.Requests.Count());
        await client.SendAsync(request); // and the client's connection is still good
        Assert.Equal(200, (await client.ReadAnswerAsync())!.Status);
        Assert.Equal(3, origin.Requests.Count());
    }

    [Fact]
    public async Task AnIdleConnectionThatTheServerClosedIsNotUsed()
    {
        await using var origin = RecordingOrigin.Saying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", thenClose: true);
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        using var client = await bed.ConnectAsync();
        for (var i = 0; i < 20; i++)
        {
            await client.SendAsync(Post);
            Assert.Equal(200, (await client.ReadAnswerAsync())!.Status);
            await Eventually.TrueAsync(() => bed.Sink.Own.UpstreamOpen.Value <= 1 && origin.Connections.Count(c => c.IsClosed) == i + 1);
        }

        Assert.Equal(20, origin.Requests.Count());
    }

    [Fact]
    public async Task AnswersWithListedCodesAreTriedAgainWithTheirBody()
    {
        var number = 0;
        await using var origin = new RecordingOrigin(async c =>
        {
            while (await c.ReadRequestAsync() is not null)
            {
                var status = Interlocked.Increment(ref number) < 3 ? "503 Busy" : "200 OK";
                await c.SendAsync($"HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok");
            }
        });
        var retry = Bed.Usual with { On = RetryOn.StatusCodes, StatusCodes = [500, 503], MaxRetries = 2 };
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Route(Bed.Cluster(origin.Address), retry)));
        Assert.Equal(200, (await bed.AskAsync(Post))!.Status);
        Assert.Equal(["hello", "hello", "hello"], origin.Requests.Select(r => r.Body));
    }

    [Fact]
    public async Task AnInboundSidecarSaysThatItsApplicationNeverSawTheRequest()
    {
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(Bed.Nowhere())), Direction.Inbound);
        Assert.Equal(["1"], (await bed.AskAsync(Post))!.Values("x-mesh-untouched"));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task AnInboundSidecarNeverSaysSoOfARequestThatReachedItsApplication(bool closes)
    {
        await using var origin = closes
            ? new RecordingOrigin(async c => await c.ReadRequestAsync())
            : RecordingOrigin.Saying("HTTP/1.1 503 Busy\r\nx-mesh-untouched: 1\r\nContent-Length: 4\r\n\r\nbusy");
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)), Direction.Inbound);
        var answer = await bed.AskAsync(Post);
        Assert.Equal(closes ? 502 : 503, answer!.Status);
        Assert.Empty(answer.Values("x-mesh-untouched"));
        Assert.Single(origin.Requests);
    }

    [Fact]
    public async Task TheLastAnswerIsPassedOnWhenTriesAreUsedUp()
    {
        await using var origin = RecordingOrigin.Saying("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy");
        var retry = Bed.Usual with { On = RetryOn.GatewayErrors, MaxRetries = 2 };
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Route(Bed.Cluster(origin.Address), retry)));
        var answer = await bed.AskAsync(Get);
        Assert.Equal(503, answer!.Status);
        Assert.Equal("busy", answer.Body);
        Assert.Equal(3, origin.Requests.Count());
    }

    [Fact]
    public async Task ABodyTooLargeToKeepIsSentOnce()
    {
        await using var origin = RecordingOrigin.Saying("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy");
        var retry = Bed.Usual with { On = RetryOn.ServerErrors, MaxRetries = 2 };
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Route(Bed.Cluster(origin.Address), retry)));
        var body = new string('x', 200_000);
        var answer = await bed.AskAsync($"POST / HTTP/1.1\r\nHost: web\r\nContent-Length: {body.Length}\r\n\r\n{body}");
        Assert.Equal(503, answer!.Status);
        Assert.Equal(body, Assert.Single(origin.Requests).Body);
    }

    [Fact]
    public async Task AResetIsTriedAgainWhenTheRuleSaysSo()
    {
        var number = 0;
        await using var origin = new RecordingOrigin(async c =>
        {
            await c.ReadRequestAsync();
            if (Interlocked.Increment(ref number) < 3) c.Reset();
            else await c.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        });
        var retry = Bed.Usual with { On = RetryOn.Reset, MaxRetries = 3 };
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Route(Bed.Cluster(origin.Address), retry)));
        Assert.Equal("ok", (await bed.AskAsync(Post))!.Body);
        Assert.Equal(["hello", "hello", "hello"], origin.Requests.Select(r => r.Body));
    }

    [Fact]
    public async Task ATryHasItsBound()
    {
        var number = 0;
        await using var origin = new RecordingOrigin(async c =>
        {
            await c.ReadRequestAsync();
            if (Interlocked.Increment(ref number) == 1) await c.ReadToEndAsync();
            else await c.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        });
        var retry = Bed.Usual with { On = RetryOn.Reset, MaxRetries = 1, PerTryTimeout = TimeSpan.FromSeconds(3) };
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Route(Bed.Cluster(origin.Address), retry)));
        Assert.Equal("ok", (await bed.AskAsync(Post))!.Body);
        Assert.Equal(2, origin.Requests.Count());
        await Eventually.TrueAsync(() => origin.Connections.First().Ended);
    }

    [Fact]
    public async Task ATryThatIsTheLastEndsIn504()
    {
        await using var origin = new RecordingOrigin(c => c.ReadToEndAsync());
        var retry = RetryPolicy.None with { PerTryTimeout = TimeSpan.FromMilliseconds(50) };
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Route(Bed.Cluster(origin.Address), retry)));
        var answer = await bed.AskAsync(Get);
        Assert.Equal(504, answer!.Status);
        Assert.Equal(["UT"], answer.Values("x-mesh-failure"));
    }

    [Fact]
    public async Task ARequestHasItsBound()
    {
        await using var origin = new RecordingOrigin(c => c.ReadToEndAsync());
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Route(Bed.Cluster(origin.Address), timeout: TimeSpan.FromMilliseconds(50))));
        var answer = await bed.AskAsync(Post);
        Assert.Equal(504, answer!.Status);
        Assert.Equal(["UT"], answer.Values("x-mesh-failure"));
        await Eventually.TrueAsync(() => origin.Connections.First().Ended);
    }

    [Fact]
    public async Task AnAnswerThatOutlastsTheBoundIsNotTakenForWhole()
    {
        await using var origin = new RecordingOrigin(async c =>
        {
            await c.ReadRequestAsync();
            await c.SendAsync("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
            await c.ReadToEndAsync();
        });
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Route(Bed.Cluster(origin.Address), timeout: TimeSpan.FromSeconds(2))));
        using var client = await bed.ConnectAsync();
        await client.SendAsync(Get);
        var all = await client.ReadToEndAsync();
        Assert.Contains("hello", all, StringComparison.Ordinal);
        Assert.DoesNotContain("0\r\n\r\n", all, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AnAnswerBeforeTheEndOfALargeBodyIsNotTriedAgain()
    {
        await using var origin = new RecordingOrigin(async c =>
        {
            await c.ReadHeadAsync();
            await c.SendAsync("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy");
            await c.ReadToEndAsync();
        });
        var retry = Bed.Usual with { On = RetryOn.ServerErrors, MaxRetries = 2 };
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Route(Bed.Cluster(origin.Address), retry)));
        using var client = await bed.ConnectAsync();
        await client.SendAsync("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 100000\r\n\r\npart");
        Assert.Equal(503, (await client.ReadAnswerAsync())!.Status);
        Assert.Single(origin.Connections);
    }

    [Fact]
    public async Task SilenceEndsARequestWhenARuleSaysSo()
    {
        await using var origin = new RecordingOrigin(async c =>
        {
            await c.ReadRequestAsync();
            for (var i = 0; i < 10; i++)
            {
                await c.SendAsync(i == 0 ? "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" : "1\r\nx\r\n");
                await Task.Delay(60);
            }

            await c.ReadToEndAsync();
        });
        await using var bed = await Bed.StartAsync(a =>
        {
            var listener = Bed.HttpListener(a, Bed.Table(Bed.Cluster(origin.Address)));
            return Bed.Snap(new Listener
            {
                Name = listener.Name,
                Slot = 0,
                Address = a,
                Direction = listener.Direction,
                DefaultChain = new FilterChain { Http = new HttpConnectionManager { Routes = listener.DefaultChain!.Http!.Routes, StreamIdleTimeout = TimeSpan.FromSeconds(2) } },
            });
        });
        using var client = await bed.ConnectAsync();
        await client.SendAsync(Get);
        var all = await client.ReadToEndAsync();
        Assert.Equal(9, all[all.IndexOf("\r\n\r\n", StringComparison.Ordinal)..].Count(c => c == 'x')); // it went on while bytes moved, and ended when they stopped
        Assert.DoesNotContain("0\r\n\r\n", all, StringComparison.Ordinal);
    }

    [Fact]
    public async Task TheBudgetBoundsWhatRetriesAdd()
    {
        var gate = new TaskCompletionSource();
        await using var origin = new RecordingOrigin(async c =>
        {
            while (await c.ReadRequestAsync() is not null)
            {
                await gate.Task;
                await c.SendAsync("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
            }
        });
        var retry = new RetryPolicy { On = RetryOn.ServerErrors, MaxRetries = 1, BackoffBase = TimeSpan.FromSeconds(1), BackoffMax = TimeSpan.FromSeconds(1) };
        // No second try begins before all have asked for theirs.
        var time = new ManualTimeProvider();
        await using var bed = await Bed.StartAsync(a => Bed.Snap(Bed.HttpListener(a, Bed.Table(Bed.Route(Bed.Cluster(origin.Address), retry)))), time);
        var asked = Enumerable.Range(0, 50).Select(_ => bed.AskAsync(Get)).ToArray();
        await Eventually.TrueAsync(() => origin.Requests.Count() == 50);
        gate.SetResult();
        await Eventually.TrueAsync(() => bed.Sink.Own.Retries.Value + bed.Sink.Own.RetriesOverBudget.Value == 50);
        var all = Task.WhenAll(asked);
        while (!all.IsCompleted)
        {
            time.Advance(TimeSpan.FromSeconds(1));
            await Task.WhenAny(all, Task.Delay(10));
        }

        await all;
        // A fifth of what is in flight, and never fewer than three.
        Assert.InRange(bed.Sink.Own.Retries.Value, 3, 12);
        Assert.Equal(50, bed.Sink.Own.Retries.Value + bed.Sink.Own.RetriesOverBudget.Value);
        Assert.Equal(50 + bed.Sink.Own.Retries.Value, origin.Requests.Count());
    }

    [Fact]
    public async Task AnEjectedEndpointComesBack()
    {
        var address = Bed.Nowhere();
        await using var other = RecordingOrigin.Friendly("other");
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(address, other.Address)));
        for (var i = 0; i < 4; i++) Assert.Equal("other", (await bed.AskAsync(Get))!.Body);
        await using var back = new RecordingOrigin(async c =>
        {
            while (await c.ReadRequestAsync() is not null) await c.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nback");
        }, address.Port);
        await Eventually.PassesAsync(async () => Assert.Equal("back", (await bed.AskAsync(Get))!.Body));
    }

    [Fact]
    public async Task AnUnknownClusterIsTheRulesFault()
    {
        var route = Bed.Route(Bed.Cluster()) with { Clusters = [new WeightedCluster("mesh-invalid-backend", null, 1)], ClusterNotFoundStatus = 500 };
        await using var bed = await Bed.HttpAsync(Bed.Table(route));
        var answer = await bed.AskAsync(Get);
        Assert.Equal(500, answer!.Status);
        Assert.Equal(["NC"], answer.Values("x-mesh-failure"));
    }

    [Fact]
    public async Task AnUnknownHostHasNoRoute()
    {
        await using var bed = await Bed.HttpAsync(new RouteTable { Name = "outbound" });
        var answer = await bed.AskAsync("GET / HTTP/1.1\r\nHost: nobody\r\n\r\n");
        Assert.Equal(404, answer!.Status);
        Assert.Equal(["NR"], answer.Values("x-mesh-failure"));
        Assert.Contains("'nobody'", answer.Body, StringComparison.Ordinal);
    }

    [Fact]
    public async Task ALoopIsCut()
    {
        await using var bed = await Bed.StartAsync(address => Bed.Snap(Bed.HttpListener(address, Bed.Table(Bed.Cluster(address)))));
        var answer = await bed.AskAsync(Get);
        Assert.Equal(508, answer!.Status);
        Assert.Equal(["LR"], answer.Values("x-mesh-failure"));
    }
}
