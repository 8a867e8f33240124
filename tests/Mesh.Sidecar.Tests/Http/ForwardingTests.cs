using System.Text;
using Mesh.Sidecar.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests.Http;

/// <summary>HTTP/1 to HTTP/1.1: messages, bodies and connections.</summary>
public sealed class ForwardingTests
{
    [Fact]
    public async Task AnswersOfManyPiecesArriveWholeWhateverTheirSize()
    {
        // Many small pieces, so that each fill of Kestrel's blocks is met.
        foreach (var size in (int[])[1, 3, 64, 100, 127, 1000, 4000])
        {
            var chunk = $"{size:x}\r\n{new string('x', size)}\r\n";
            await using var origin = RecordingOrigin.Saying(
                $"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{string.Concat(Enumerable.Repeat(chunk, 20_000 / size))}0\r\n\r\n");
            await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
            Assert.Equal(20_000 / size * size, (await bed.AskAsync("GET / HTTP/1.1\r\nHost: web\r\n\r\n"))!.Body.Length);
        }
    }

    [Fact]
    public async Task AConnectionIsUsedAgainOnBothSides()
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        using var client = await bed.ConnectAsync();
        for (var i = 0; i < 20; i++)
        {
            await client.SendAsync($"POST /{i} HTTP/1.1\r\nHost: web\r\nContent-Length: 4\r\n\r\nbody");
            Assert.Equal("hello", (await client.ReadAnswerAsync())!.Body);
        }

        Assert.Equal(20, origin.Requests.Count());
        Assert.All(origin.Requests, r => Assert.Equal("body", r.Body));
        Assert.Single(origin.Connections);
    }

    [Fact]
    public async Task PipelinedRequestsAreAnsweredInOrder()
    {
        await using var origin = new RecordingOrigin(async c =>
        {
            while (await c.ReadRequestAsync() is { } r)
            {
                var name = r.Line.Split(' ')[1];
                await c.SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: {name.Length}\r\n\r\n{name}");
            }
        });
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        using var client = await bed.ConnectAsync();
        await client.SendAsync(string.Concat(Enumerable.Range(0, 10).Select(i => $"POST /{i} HTTP/1.1\r\nHost: web\r\nContent-Length: 1\r\n\r\nx")));
        for (var i = 0; i < 10; i++) Assert.Equal($"/{i}", (await client.ReadAnswerAsync())!.Body);
    }

    [Fact]
    public async Task ARequestThatComesByteByByteIsWhole()
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        using var client = await bed.ConnectAsync();
        await client.DripAsync("POST /slow HTTP/1.1\r\nHost: web\r\nContent-Length: 11\r\n\r\nhello world");
        Assert.Equal(200, (await client.ReadAnswerAsync())!.Status);
        Assert.Equal("hello world", Assert.Single(origin.Requests).Body);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(5_000)]
    [InlineData(70_000)]
    [InlineData(3_000_000)]
    public async Task BodiesOfAnySizeGoBothWays(int size)
    {
        var body = string.Concat(Enumerable.Range(0, size / 10 + 1).Select(i => $"{i:D10}"))[..size];
        await using var origin = new RecordingOrigin(async c =>
        {
            while (await c.ReadRequestAsync() is { } r) await c.SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: {r.Body.Length}\r\n\r\n{r.Body}");
        });
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        using var client = await bed.ConnectAsync();
        await client.SendAsync($"POST / HTTP/1.1\r\nHost: web\r\nContent-Length: {size}\r\n\r\n{body}");
        Assert.Equal(body, (await client.ReadAnswerAsync())!.Body);
        await client.SendAsync($"POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n{size:x}\r\n{body}\r\n0\r\n\r\n");
        Assert.Equal(body, (await client.ReadAnswerAsync())!.Body);
        Assert.Equal(["chunked"], origin.Requests.Last().Values("Transfer-Encoding"));
        Assert.Single(origin.Connections);
    }

    [Fact]
    public async Task AChunkedAnswerOfAnyCutIsWhole()
    {
        const string Chunks = "1\r\na\r\n10;x=y\r\n0123456789abcdef\r\n00a\r\nABCDEFGHIJ\r\n0\r\nX-Sum: 1\r\n\r\n";
        await using var origin = new RecordingOrigin(async c =>
        {
            while (await c.ReadRequestAsync() is not null)
            {
                foreach (var b in "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + Chunks)
                {
                    await c.SendAsync(b.ToString());
                    await Task.Yield();
                }
            }
        });
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        using var client = await bed.ConnectAsync();
        for (var i = 0; i < 2; i++)
        {
            await client.SendAsync("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
            Assert.Equal("a0123456789abcdefABCDEFGHIJ", (await client.ReadAnswerAsync())!.Body);
        }

        Assert.Single(origin.Connections);
        Assert.Equal(2, bed.Sink.Own.DroppedTrailers.Value);
    }

    [Fact]
    public async Task AnAnswerThatEndsWithItsConnectionIsWhole()
    {
        await using var origin = RecordingOrigin.Saying("HTTP/1.0 200 OK\r\n\r\nuntil the end", thenClose: true);
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        using var client = await bed.ConnectAsync();
        for (var i = 0; i < 3; i++)
        {
            await client.SendAsync("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
            Assert.Equal("until the end", (await client.ReadAnswerAsync())!.Body);
        }

        Assert.Equal(3, origin.Connections.Count);
    }

    [Theory]
    [InlineData("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nETag: x\r\n\r\n", 200, "1234")]
    [InlineData("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, null)]
    [InlineData("GET", "HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 99\r\n\r\n", 304, null)]
    [InlineData("GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, null)]
    [InlineData("DELETE", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "0")]
    public async Task AnswersWithoutBodyKeepTheConnection(string method, string said, int status, string? length)
    {
        await using var origin = RecordingOrigin.Saying(said);
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        using var client = await bed.ConnectAsync();
        for (var i = 0; i < 3; i++)
        {
            await client.SendAsync($"{method} / HTTP/1.1\r\nHost: web\r\n\r\n");
            var answer = (await client.ReadAnswerAsync(head: true))!;
            Assert.Equal(status, answer.Status);
            if (length is not null) Assert.Equal([length], answer.Values("Content-Length"));
            Assert.Empty(answer.Values("Transfer-Encoding"));
        }

        Assert.Single(origin.Connections);
    }

    [Fact]
    public async Task Http10IsServed()
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        using var client = await bed.ConnectAsync();
        await client.SendAsync("GET / HTTP/1.0\r\nHost: web\r\n\r\n");
        var answer = await client.ReadToEndAsync();
        Assert.StartsWith("HTTP/1.1 200", answer, StringComparison.Ordinal);
        Assert.EndsWith("hello", answer, StringComparison.Ordinal);
        Assert.Equal("GET / HTTP/1.1", Assert.Single(origin.Requests).Line);
    }

    [Fact]
    public async Task Http10KeepsAliveWhenAskedTo()
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        using var client = await bed.ConnectAsync();
        for (var i = 0; i < 2; i++)
        {
            await client.SendAsync("GET / HTTP/1.0\r\nHost: web\r\nConnection: keep-alive\r\n\r\n");
            Assert.Equal("hello", (await client.ReadAnswerAsync())!.Body);
        }
    }

    [Fact]
    public async Task ExpectContinueWorksEndToEnd()
    {
        await using var origin = new RecordingOrigin(async c =>
        {
            var head = await c.ReadHeadAsync();
            Assert.Contains("Expect: 100-continue", head, StringComparison.Ordinal);
            await c.SendAsync("HTTP/1.1 100 Continue\r\n\r\n");
            var body = await c.ReadBodyAsync(head!);
            await c.SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: {body.Length}\r\n\r\n{body}");
        });
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        using var client = await bed.ConnectAsync();
        await client.SendAsync("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
        Assert.Equal(100, (await client.ReadAnswerAsync(head: true))!.Status);
        await client.SendAsync("hello");
        Assert.Equal("hello", (await client.ReadAnswerAsync())!.Body);
    }

    [Fact]
    public async Task ARefusedExpectationSparesTheBody()
    {
        await using var origin = new RecordingOrigin(async c =>
        {
            await c.ReadHeadAsync();
            await c.SendAsync("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!");
            await c.ReadToEndAsync();
        });
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        using var client = await bed.ConnectAsync();
        await client.SendAsync("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
        var answer = await client.ReadAnswerAsync();
        Assert.Equal(413, answer!.Status);
        Assert.Equal("no!", answer.Body);
        Assert.Contains("Too Large", answer.Head, StringComparison.Ordinal);
        Assert.EndsWith("\r\n\r\n", origin.AllBytes, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AServerThatKnowsNoExpectationGetsTheBodyAllTheSame()
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        using var client = await bed.ConnectAsync();
        await client.SendAsync("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello");
        RawAnswer? answer;
        do answer = await client.ReadAnswerAsync(); while (answer!.Status == 100);
        Assert.Equal(200, answer.Status);
        Assert.Equal("hello", Assert.Single(origin.Requests).Body);
    }

    [Fact]
    public async Task InterimAnswersAreNotTheAnswer()
    {
        await using var origin = RecordingOrigin.Saying("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        Assert.Equal("ok", (await bed.AskAsync("GET / HTTP/1.1\r\nHost: web\r\n\r\n"))!.Body);
    }

    [Fact]
    public async Task AnAnswerStreamsAsItComes()
    {
        var more = new TaskCompletionSource();
        await using var origin = new RecordingOrigin(async c =>
        {
            await c.ReadRequestAsync();
            await c.SendAsync("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
            await more.Task;
            await c.SendAsync("data: 1\n\n");
            await c.ReadToEndAsync();
        });
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        using var client = await bed.ConnectAsync();
        await client.SendAsync("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
        Assert.Equal(200, (await client.ReadAnswerAsync(head: true))!.Status);
        more.SetResult();
        Assert.Equal("9\r\ndata: 1\n\n", await client.ReadAsync(12));
        client.Reset();
        await Eventually.TrueAsync(() => origin.Connections.First().Ended);
    }

    [Fact]
    public async Task ARequestStreamsAsItComes()
    {
        var got = new TaskCompletionSource<string>();
        await using var origin = new RecordingOrigin(async c =>
        {
            await c.ReadHeadAsync();
            got.SetResult(await c.ReadAsync(10)); // "5" CR LF "hello" CR LF
            await c.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            await c.ReadToEndAsync();
        });
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        using var client = await bed.ConnectAsync();
        await client.SendAsync("POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n");
        await client.SendAsync("5\r\nhello\r\n");
        Assert.Equal("5\r\nhello\r\n", await got.Task.WaitAsync(TimeSpan.FromSeconds(10)));
        Assert.Equal("ok", (await client.ReadAnswerAsync())!.Body); // before the request has ended
    }

    [Fact]
    public async Task AnEarlyAnswerDoesNotCarryOverToTheNextRequest()
    {
        await using var origin = new RecordingOrigin(async c =>
        {
            await c.ReadHeadAsync();
            await c.SendAsync("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
            await c.ReadToEndAsync();
        });
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        using var client = await bed.ConnectAsync();
        await client.SendAsync("POST /1 HTTP/1.1\r\nHost: web\r\nContent-Length: 100000\r\n\r\npart");
        Assert.Equal(401, (await client.ReadAnswerAsync())!.Status);
        Assert.Equal(401, (await bed.AskAsync("GET /2 HTTP/1.1\r\nHost: web\r\n\r\n"))!.Status);
        Assert.Equal(2, origin.Connections.Count);
    }

    [Fact]
    public async Task AClientThatGoesAwayEndsTheRequest()
    {
        var began = new TaskCompletionSource();
        await using var origin = new RecordingOrigin(async c =>
        {
            await c.ReadRequestAsync();
            began.SetResult();
            await c.ReadToEndAsync();
        });
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        using var client = await bed.ConnectAsync();
        await client.SendAsync("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
        await began.Task;
        client.Reset();
        await Eventually.TrueAsync(() => origin.Connections.First().Ended);
        await Eventually.TrueAsync(() => bed.Sink.Own.RequestsActive.Value == 0);
    }

    [Fact]
    public async Task AHalfSentBodyOfAGoneClientIsNeverCompleted()
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        using var client = await bed.ConnectAsync();
        await client.SendAsync("POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        await Eventually.TrueAsync(() => origin.AllBytes.EndsWith("hello\r\n", StringComparison.Ordinal));
        client.Reset();
        await Eventually.TrueAsync(() => origin.Connections.First().Ended);
        Assert.DoesNotContain("0\r\n\r\n", origin.AllBytes, StringComparison.Ordinal);
    }

    [Fact]
    public async Task ConcurrentClientsGetTheirOwnAnswers()
    {
        await using var origin = new RecordingOrigin(async c =>
        {
            while (await c.ReadRequestAsync() is { } r) await c.SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: {r.Body.Length}\r\n\r\n{r.Body}");
        });
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        await Task.WhenAll(Enumerable.Range(0, 20).Select(async n =>
        {
            using var client = await bed.ConnectAsync();
            for (var i = 0; i < 50; i++)
            {
                var body = new StringBuilder().Insert(0, $"client {n} request {i} ", 1 + (i * 7 % 300)).ToString();
                await client.SendAsync($"POST / HTTP/1.1\r\nHost: web\r\nContent-Length: {body.Length}\r\n\r\n{body}");
                Assert.Equal(body, (await client.ReadAnswerAsync())!.Body);
            }
        }));
        Assert.Equal(1000, origin.Requests.Count());
    }

    [Fact]
    public async Task ADirectResponseNeedsNoUpstream()
    {
        var route = Bed.Route(Bed.Cluster()) with { DirectStatus = 418, DirectBody = "teapot" };
        await using var bed = await Bed.HttpAsync(Bed.Table(route));
        var answer = await bed.AskAsync("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
        Assert.Equal(418, answer!.Status);
        Assert.Equal("teapot", answer.Body);
    }
}
