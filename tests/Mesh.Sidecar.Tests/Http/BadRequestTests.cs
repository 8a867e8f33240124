using Mesh.Sidecar.Tests.Testbed;

namespace Mesh.Sidecar.Tests.Http;

/// <summary>
/// Requests that two readers could understand differently (RFC 9112, RFC 9110 §5 and the ways proxies were fooled). The origin keeps every byte:
/// a refused request leaves none there, a tolerated one leaves exactly one message in one canonical form.
/// </summary>
public sealed class BadRequestTests
{
    private const string Host = "Host: web\r\n";

    public static TheoryData<string, string> Refused => new()
    {
        // both ways of framing, and codings we do not know
        { "CL then TE", "POST / HTTP/1.1\r\n" + Host + "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG" },
        { "TE then CL", "POST / HTTP/1.1\r\n" + Host + "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nG" },
        { "CL 0 and TE", "POST / HTTP/1.1\r\n" + Host + "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" },
        { "TE chunked, identity", "POST / HTTP/1.1\r\n" + Host + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" },
        { "TE identity, chunked", "POST / HTTP/1.1\r\n" + Host + "Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n" },
        { "TE gzip, chunked", "POST / HTTP/1.1\r\n" + Host + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" },
        { "TE xchunked", "POST / HTTP/1.1\r\n" + Host + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" },
        { "TE leading comma", "POST / HTTP/1.1\r\n" + Host + "Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n" },
        { "TE trailing comma", "POST / HTTP/1.1\r\n" + Host + "Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n" },
        { "TE vertical tab", "POST / HTTP/1.1\r\n" + Host + "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n" },
        { "TE form feed", "POST / HTTP/1.1\r\n" + Host + "Transfer-Encoding: chunked\f\r\n\r\n0\r\n\r\n" },
        { "TE NUL", "POST / HTTP/1.1\r\n" + Host + "Transfer-Encoding: chunked\0\r\n\r\n0\r\n\r\n" },
        { "TE quoted", "POST / HTTP/1.1\r\n" + Host + "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n" },
        { "TE parameter", "POST / HTTP/1.1\r\n" + Host + "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n" },
        { "TE twice", "POST / HTTP/1.1\r\n" + Host + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" },
        { "TE in two lines", "POST / HTTP/1.1\r\n" + Host + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" },
        { "TE folded", "POST / HTTP/1.1\r\n" + Host + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" },
        { "TE empty", "POST / HTTP/1.1\r\n" + Host + "Transfer-Encoding:\r\n\r\n0\r\n\r\n" },
        { "TE in HTTP/1.0", "POST / HTTP/1.0\r\n" + Host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" },

        // lengths
        { "CL twice, different", "POST / HTTP/1.1\r\n" + Host + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!" },
        { "CL twice, equal", "POST / HTTP/1.1\r\n" + Host + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello" },
        { "CL list", "POST / HTTP/1.1\r\n" + Host + "Content-Length: 5, 5\r\n\r\nhello" },
        { "CL minus", "POST / HTTP/1.1\r\n" + Host + "Content-Length: -5\r\n\r\nhello" },
        { "CL hex", "POST / HTTP/1.1\r\n" + Host + "Content-Length: 0x5\r\n\r\nhello" },
        { "CL underscore", "POST / HTTP/1.1\r\n" + Host + "Content-Length: 1_0\r\n\r\nhellohello" },
        { "CL inner space", "POST / HTTP/1.1\r\n" + Host + "Content-Length: 5 5\r\n\r\nhello" },
        { "CL empty", "POST / HTTP/1.1\r\n" + Host + "Content-Length:\r\n\r\nhello" },
        { "CL too large", "POST / HTTP/1.1\r\n" + Host + "Content-Length: 9223372036854775808\r\n\r\nhello" },
        { "CL letters", "POST / HTTP/1.1\r\n" + Host + "Content-Length: five\r\n\r\nhello" },
        { "CL fraction", "POST / HTTP/1.1\r\n" + Host + "Content-Length: 5.0\r\n\r\nhello" },

        // line ends
        { "LF only", "GET / HTTP/1.1\nHost: web\n\n" },
        { "LF in the head", "GET / HTTP/1.1\r\nHost: web\nX-A: b\r\n\r\n" },
        { "LF before the end", "GET / HTTP/1.1\r\nHost: web\r\n\n" },
        { "CR in a value", "GET / HTTP/1.1\r\n" + Host + "X-A: b\rX-B: c\r\n\r\n" },
        { "CR CR LF", "GET / HTTP/1.1\r\n" + Host + "X-A: b\r\r\n\r\n" },
        { "CR in a name", "GET / HTTP/1.1\r\n" + Host + "X\r-A: b\r\n\r\n" },

        // names
        { "space before the colon", "GET / HTTP/1.1\r\n" + Host + "X-A : b\r\n\r\n" },
        { "tab before the colon", "GET / HTTP/1.1\r\n" + Host + "X-A\t: b\r\n\r\n" },
        { "space before CL's colon", "POST / HTTP/1.1\r\n" + Host + "Content-Length : 5\r\n\r\nhello" },
        { "empty name", "GET / HTTP/1.1\r\n" + Host + ": b\r\n\r\n" },
        { "no colon", "GET / HTTP/1.1\r\n" + Host + "nonsense\r\n\r\n" },
        { "NUL in a name", "GET / HTTP/1.1\r\n" + Host + "X\0A: b\r\n\r\n" },
        { "slash in a name", "GET / HTTP/1.1\r\n" + Host + "X/A: b\r\n\r\n" },
        { "bracket in a name", "GET / HTTP/1.1\r\n" + Host + "X[A]: b\r\n\r\n" },
        { "high byte in a name", "GET / HTTP/1.1\r\n" + Host + "X\u0085: b\r\n\r\n" },
        { "space in front of the first field", "GET / HTTP/1.1\r\n Host: web\r\n\r\n" },
        { "folded value", "GET / HTTP/1.1\r\n" + Host + "X-A: b\r\n c\r\n\r\n" },
        { "folded with tab", "GET / HTTP/1.1\r\n" + Host + "X-A: b\r\n\tc\r\n\r\n" },

        // values
        { "NUL in a value", "GET / HTTP/1.1\r\n" + Host + "X-A: a\0b\r\n\r\n" },
        { "escape in a value", "GET / HTTP/1.1\r\n" + Host + "X-A: a\u001bb\r\n\r\n" },
        { "DEL in a value", "GET / HTTP/1.1\r\n" + Host + "X-A: a\u007fb\r\n\r\n" },
        { "bell in a known field", "GET / HTTP/1.1\r\n" + Host + "User-Agent: a\u0007b\r\n\r\n" },

        // hosts
        { "no Host", "GET / HTTP/1.1\r\nX-A: b\r\n\r\n" },
        { "two Hosts", "GET / HTTP/1.1\r\nHost: web\r\nHost: web\r\n\r\n" },
        { "Host list", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n" },
        { "Host with userinfo", "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n" },
        { "Host with a bad port", "GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n" },
        { "Host with a named port", "GET / HTTP/1.1\r\nHost: a:http\r\n\r\n" },
        { "Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n" },
        { "Host with a space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n" },
        { "empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n" },
        { "Host with half a bracket", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n" },
        { "URL without a host", "GET http:///x HTTP/1.1\r\nHost: web\r\n\r\n" },
        { "URL with userinfo", "GET http://a@b/ HTTP/1.1\r\nHost: b\r\n\r\n" },
        { "https URL", "GET https://web/ HTTP/1.1\r\nHost: web\r\n\r\n" },

        // request lines
        { "no target", "GET HTTP/1.1\r\n" + Host + "\r\n" },
        { "relative target", "GET foo HTTP/1.1\r\n" + Host + "\r\n" },
        { "star with GET", "GET * HTTP/1.1\r\n" + Host + "\r\n" },
        { "two spaces", "GET  / HTTP/1.1\r\n" + Host + "\r\n" },
        { "space in the target", "GET /a b HTTP/1.1\r\n" + Host + "\r\n" },
        { "tab in the target", "GET /a\tb HTTP/1.1\r\n" + Host + "\r\n" },
        { "NUL in the target", "GET /a\0b HTTP/1.1\r\n" + Host + "\r\n" },
        { "escape in the target", "GET /a\u001b HTTP/1.1\r\n" + Host + "\r\n" },
        { "high byte in the target", "GET /\u00e9 HTTP/1.1\r\n" + Host + "\r\n" },
        { "fragment", "GET /a#b HTTP/1.1\r\n" + Host + "\r\n" },
        { "method with a bracket", "G[T / HTTP/1.1\r\n" + Host + "\r\n" },
        { "method with a colon", "GET: / HTTP/1.1\r\n" + Host + "\r\n" },
        { "no version", "GET /\r\n" + Host + "\r\n" },
        { "version 1.32", "GET / HTTP/1.32\r\n" + Host + "\r\n" },
        { "version 2.0", "GET / HTTP/2.0\r\n" + Host + "\r\n" },
        { "version huge", "GET / HTTP/4294967295.255\r\n" + Host + "\r\n" },
        { "version lower case", "GET / http/1.1\r\n" + Host + "\r\n" },
        { "space behind the version", "GET / HTTP/1.1 \r\n" + Host + "\r\n" },
        { "line too long", "GET /" + new string('a', 9000) + " HTTP/1.1\r\n" + Host + "\r\n" },
        { "head too large", "GET / HTTP/1.1\r\n" + Host + string.Concat(Enumerable.Range(0, 50).Select(i => $"X-{i}: {new string('a', 1000)}\r\n")) + "\r\n" },
        { "too many fields", "GET / HTTP/1.1\r\n" + Host + string.Concat(Enumerable.Range(0, 150).Select(i => $"X-{i}: a\r\n")) + "\r\n" },
        { "unknown expectation", "POST / HTTP/1.1\r\n" + Host + "Expect: y\r\nContent-Length: 5\r\n\r\nhello" },
        { "mixed expectation", "POST / HTTP/1.1\r\n" + Host + "Expect: y 100-continue\r\nContent-Length: 5\r\n\r\nhello" },
        { "TLS", "\u0016\u0003\u0001\u0002\0\u0001\0\u0001\u00fc\u0003\u0003" + new string('a', 64) + "\r\n\r\n" },
    };

    [Theory]
    [MemberData(nameof(Refused))]
    public async Task ABadRequestIsRefusedAndNothingIsForwarded(string what, string request)
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        using var client = await bed.ConnectAsync();
        await client.SendAsync(request);
        // Only a request that is still waited for gets a half-close: it would end one that was wrongly taken before that is answered.
        if (!await client.EndsWithinAsync(TimeSpan.FromSeconds(1))) client.ShutdownSend();
        var answer = await client.ReadToEndAsync();
        Assert.True(answer.Length == 0 || answer.StartsWith("HTTP/1.1 4", StringComparison.Ordinal) || answer.StartsWith("HTTP/1.1 505", StringComparison.Ordinal), $"{what}: {answer}");
        Assert.Equal(1, Math.Max(1, answer.Split("HTTP/1.1 ").Length - 1));
        Assert.Equal("", origin.AllBytes);
    }

    /// <summary>The same without the half-close, which would end a request that was wrongly taken before it is answered.</summary>
    [Theory]
    [InlineData("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")]
    [InlineData("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n")]
    [InlineData("Transfer-Encoding: chunked, chunked\r\n")]
    [InlineData("Transfer-Encoding: identity, chunked\r\n")]
    [InlineData("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n")]
    public async Task AmbiguousFramingIsRefusedWhileTheClientWaits(string fields)
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        using var client = await bed.ConnectAsync();
        await client.SendAsync("POST / HTTP/1.1\r\n" + Host + fields + "\r\n0\r\n\r\n");
        Assert.StartsWith("HTTP/1.1 400", await client.ReadToEndAsync(), StringComparison.Ordinal);
        Assert.Equal("", origin.AllBytes);
        Assert.Equal(1, bed.Sink.Own.RefusedRequests.Value);
    }

    /// <summary>The head is sound, so it may have gone on already; but the request must not be completed, and no second one may appear.</summary>
    public static TheoryData<string, string> BrokenChunks => new()
    {
        { "plus", "+5\r\nhello\r\n0\r\n\r\n" },
        { "minus", "-5\r\nhello\r\n0\r\n\r\n" },
        { "0x", "0x5\r\nhello\r\n0\r\n\r\n" },
        { "underscore", "0_5\r\nhello\r\n0\r\n\r\n" },
        { "leading space", " 5\r\nhello\r\n0\r\n\r\n" },
        { "too large", "FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n" },
        { "letters", "xyz\r\nhello\r\n0\r\n\r\n" },
        { "empty size", "\r\nhello\r\n0\r\n\r\n" },
        { "data longer than its size", "5\r\nhelloX\r\n0\r\n\r\n" },
        { "LF behind the size", "5\nhello\r\n0\r\n\r\n" },
        { "LF behind the data", "5\r\nhello\n0\r\n\r\n" },
        { "LF in an extension", "5;a\nb\r\nhello\r\n0\r\n\r\n" },
        { "CR in an extension", "5;a\rb\r\nhello\r\n0\r\n\r\n" },
        { "cut", "5\r\nhel" },
        { "no last chunk", "5\r\nhello\r\n" },
    };

    [Theory]
    [MemberData(nameof(BrokenChunks))]
    public async Task ABodyWithBrokenChunksIsNeverCompleted(string what, string body)
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        using var client = await bed.ConnectAsync();
        await client.SendAsync("POST / HTTP/1.1\r\n" + Host + "Transfer-Encoding: chunked\r\n\r\n" + body);
        client.ShutdownSend();
        var answer = await client.ReadToEndAsync();
        Assert.True(answer.Length == 0 || answer.StartsWith("HTTP/1.1 4", StringComparison.Ordinal), $"{what}: {answer}");
        Assert.DoesNotContain("0\r\n\r\n", origin.AllBytes, StringComparison.Ordinal);
        Assert.True(origin.AllBytes.Split("HTTP/1.1\r\n").Length <= 2, origin.AllBytes);
    }

    /// <summary>What is forwarded although it is odd: exactly one message, in one canonical form.</summary>
    public static TheoryData<string, string, string> Tolerated => new()
    {
        { "POST / HTTP/1.1\r\n" + Host + "Content-Length: +5\r\n\r\nhello", "Content-Length: 5", "hello" },
        { "POST / HTTP/1.1\r\n" + Host + "Content-Length: 05\r\n\r\nhello", "Content-Length: 5", "hello" },
        { "POST / HTTP/1.1\r\n" + Host + "Content-Length: 5\t\r\n\r\nhello", "Content-Length: 5", "hello" },
        { "POST / HTTP/1.1\r\n" + Host + "Content-Length:5\r\n\r\nhello", "Content-Length: 5", "hello" },
        { "POST / HTTP/1.1\r\n" + Host + "Content-Length: -0\r\n\r\n", "Content-Length: 0", "" },
        { "POST / HTTP/1.1\r\n" + Host + "Transfer-Encoding: CHUNKED\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "Transfer-Encoding: chunked", "hello" },
        { "POST / HTTP/1.1\r\n" + Host + "Transfer-Encoding: chunked\r\n\r\n5;ext=1\r\nhello\r\n0\r\nX-Trailer: a\r\n\r\n", "Transfer-Encoding: chunked", "hello" },
        { "POST / HTTP/1.1\r\n" + Host + "Transfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello", "Content-Length: 5", "hello" },
        { "GET / HTTP/1.1\r\n" + Host + "Content-Length: 43\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: web\r\nX: yyyyy\r\n", "Content-Length: 43", "GET /smuggled HTTP/1.1\r\nHost: web\r\nX: yyyyy" },
    };

    [Theory]
    [MemberData(nameof(Tolerated))]
    public async Task AnOddRequestLeavesInOneCanonicalForm(string request, string framing, string body)
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        using var client = await bed.ConnectAsync();
        await client.SendAsync(request);
        var answer = await client.ReadAnswerAsync();
        if (answer!.Status == 400)
        {
            Assert.Equal("", origin.AllBytes);
            return;
        }

        Assert.Equal(200, answer.Status);
        var seen = Assert.Single(origin.Requests);
        Assert.Contains(framing, seen.Fields);
        Assert.Single(seen.Fields, f => f.StartsWith("Content-Length", StringComparison.OrdinalIgnoreCase) || f.StartsWith("Transfer-Encoding", StringComparison.OrdinalIgnoreCase));
        Assert.StartsWith(body, seen.Body, StringComparison.Ordinal);
    }

    [Fact]
    public async Task ARefusalSaysWhy()
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        var answer = await bed.AskAsync("GET /a HTTP/1.1\r\nHost: web\r\nX-Odd: a\u001bb\r\n\r\n");
        Assert.Equal(400, answer!.Status);
        Assert.Contains("'X-Odd' holds a control character", answer.Body, StringComparison.Ordinal);
        Assert.Equal(["DPE"], answer.Values("x-mesh-failure"));
        Assert.Equal(["close"], answer.Values("Connection"));
    }
}
