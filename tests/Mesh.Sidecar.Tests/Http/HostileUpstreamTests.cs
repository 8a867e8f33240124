using Mesh.Sidecar.Tests.Testbed;

namespace Mesh.Sidecar.Tests.Http;

/// <summary>Upstreams that break HTTP's rules: the client gets a 502 or sees a cut, never something else's bytes, and the connection is not used again.</summary>
public sealed class HostileUpstreamTests
{
    private const string Get = "GET / HTTP/1.1\r\nHost: web\r\n\r\n";

    [Theory]
    [InlineData("not HTTP", "SSH-2.0-OpenSSH\r\n\r\n")]
    [InlineData("HTTP/2 status line", "HTTP/2 200\r\n\r\n")]
    [InlineData("HTTP/0.9", "<html>\r\n\r\n")]
    [InlineData("status 99", "HTTP/1.1 099 No\r\n\r\n")]
    [InlineData("status 1000", "HTTP/1.1 1000 No\r\n\r\n")]
    [InlineData("no status", "HTTP/1.1  OK\r\n\r\n")]
    [InlineData("LF only", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok")]
    [InlineData("LF in the head", "HTTP/1.1 200 OK\r\nX: a\nContent-Length: 2\r\n\r\nok")]
    [InlineData("CR in a value", "HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 2\r\n\r\nok")]
    [InlineData("NUL in a value", "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\nok")]
    [InlineData("control in a value", "HTTP/1.1 200 OK\r\nX: a\u0001b\r\nContent-Length: 2\r\n\r\nok")]
    [InlineData("space before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok")]
    [InlineData("folded", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok")]
    [InlineData("empty name", "HTTP/1.1 200 OK\r\n: a\r\nContent-Length: 2\r\n\r\nok")]
    [InlineData("no colon", "HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: 2\r\n\r\nok")]
    [InlineData("CL and TE", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")]
    [InlineData("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!")]
    [InlineData("length list", "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok")]
    [InlineData("length minus", "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok")]
    [InlineData("length plus", "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok")]
    [InlineData("coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")]
    [InlineData("coding twice", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")]
    [InlineData("101 unasked", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")]
    public async Task ABrokenHeadIs502(string what, string said)
    {
        await using var origin = RecordingOrigin.Saying(said);
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        using var client = await bed.ConnectAsync();
        for (var i = 1; i <= 2; i++)
        {
            await client.SendAsync(Get);
            var answer = await client.ReadAnswerAsync();
            Assert.True(answer!.Status == 502, $"{what}: {answer.Head}");
            Assert.Equal(["UPE"], answer.Values("x-mesh-failure"));
            Assert.Equal(i, origin.Connections.Count);
        }
    }

    [Theory]
    [InlineData("204", "Content-Length: 5\r\n\r\nhello")]
    [InlineData("204", "Content-Length: 5\r\n\r\n")]
    [InlineData("205", "Content-Length: 5\r\n\r\nhello")]
    [InlineData("205", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")]
    public async Task ContentThatMustNotBeIsDroppedWithItsConnection(string status, string rest)
    {
        await using var origin = RecordingOrigin.Saying($"HTTP/1.1 {status} Odd\r\n{rest}");
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        using var client = await bed.ConnectAsync();
        for (var i = 1; i <= 2; i++)
        {
            await client.SendAsync(Get);
            var answer = await client.ReadAnswerAsync();
            Assert.StartsWith($"HTTP/1.1 {status}", answer!.Head, StringComparison.Ordinal);
            Assert.Equal("", answer.Body);
            Assert.Equal(i, origin.Connections.Count);
        }
    }

    [Theory]
    [InlineData("size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n")]
    [InlineData("0x size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0x1\r\na\r\n0\r\n\r\n")]
    [InlineData("LF behind a size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\nworld\r\n0\r\n\r\n")]
    [InlineData("LF behind data", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n")]
    [InlineData("long data", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n")]
    [InlineData("huge size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nFFFFFFFFFFFFFFFFF\r\n")]
    [InlineData("broken trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nno colon\r\n\r\n")]
    [InlineData("short", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")]
    [InlineData("cut chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nhello")]
    [InlineData("no last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")]
    public async Task ABrokenBodyIsCut(string what, string said)
    {
        await using var origin = RecordingOrigin.Saying(said, thenClose: true);
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        using var client = await bed.ConnectAsync();
        await client.SendAsync(Get);
        var all = await client.ReadToEndAsync(); // ends: the connection is closed, whatever was said
        var whole = all.Contains("0\r\n\r\n", StringComparison.Ordinal) || (what == "short" && all.EndsWith("hello", StringComparison.Ordinal) && !all.Contains("Content-Length: 10", StringComparison.Ordinal));
        Assert.False(whole, $"{what}: {all}");
        Assert.True(all.Length == 0 || all.StartsWith("HTTP/1.1 200", StringComparison.Ordinal) || all.StartsWith("HTTP/1.1 502", StringComparison.Ordinal), all);
    }

    [Theory]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")]
    [InlineData("HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")]
    [InlineData("HTTP/1.1 304 Not Modified\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")]
    public async Task BytesBehindAnAnswerAreNobodysAnswer(string said)
    {
        await using var origin = RecordingOrigin.Saying(said);
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        using var client = await bed.ConnectAsync();
        for (var i = 1; i <= 3; i++)
        {
            await client.SendAsync(Get);
            Assert.DoesNotContain("poison", (await client.ReadAnswerAsync())!.Body, StringComparison.Ordinal);
            Assert.Equal(i, origin.Connections.Count);
        }
    }

    [Fact]
    public async Task AnAnswerNobodyAskedForIsDropped()
    {
        await using var origin = new RecordingOrigin(async c =>
        {
            await c.ReadRequestAsync();
            await c.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            await Task.Delay(50);
            await c.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
            await c.ReadToEndAsync();
        });
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        using var client = await bed.ConnectAsync();
        await client.SendAsync(Get);
        Assert.Equal("ok", (await client.ReadAnswerAsync())!.Body);
        await Mesh.Tests.Eventually.TrueAsync(() => origin.Connections.First().Ended);
        await client.SendAsync(Get);
        Assert.Equal("ok", (await client.ReadAnswerAsync())!.Body);
        Assert.Equal(2, origin.Connections.Count);
    }

    [Fact]
    public async Task EndlessInterimAnswersEnd()
    {
        await using var origin = RecordingOrigin.Saying(string.Concat(Enumerable.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 1000)));
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        Assert.Equal(502, (await bed.AskAsync(Get))!.Status);
    }

    [Fact]
    public async Task AHeadWithoutEndEnds()
    {
        await using var origin = RecordingOrigin.Saying("HTTP/1.1 200 OK\r\n" + string.Concat(Enumerable.Repeat("X-A: " + new string('a', 1000) + "\r\n", 100)));
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        Assert.Equal(502, (await bed.AskAsync(Get))!.Status);
    }

    [Fact]
    public async Task WhatAServerSaysBesideAnUpgradeItRefusedReachesTheClientAsAnAnswer()
    {
        await using var origin = RecordingOrigin.Saying("HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno");
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        using var client = await bed.ConnectAsync();
        // The bytes behind the head are early data of a tunnel that never comes to be.
        await client.SendAsync("GET /chat HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: web\r\n\r\n");
        Assert.Equal(400, (await client.ReadAnswerAsync())!.Status);
        Assert.DoesNotContain("smuggled", origin.Connections.First().Raw, StringComparison.Ordinal);
    }
}
