using Mesh.Sidecar.Config;
using Mesh.Sidecar.Tests.Testbed;

namespace Mesh.Sidecar.Tests.Http;

/// <summary>Which header fields go through, in both directions, and in which shape.</summary>
public sealed class HeaderTests
{
    [Theory]
    [InlineData("Connection: close, X-Foo\r\nX-Foo: 1\r\n", "X-Foo")]
    [InlineData("Connection: keep-alive, X-Foo\r\nX-Foo: 1\r\n", "X-Foo", "Connection")]
    [InlineData("Connection: X-Foo, Keep-Alive , x-bar,,\r\nX-Bar: 2\r\nX-Foo: 1\r\n", "X-Foo", "X-Bar")]
    [InlineData("Connection: Upgrade, X-Foo\r\nUpgrade: foo\r\nX-Foo: 1\r\n", "X-Foo", "Upgrade")]
    [InlineData("Connection: close, Upgrade, X-Foo, keep-alive\r\nX-Foo: 1\r\n", "X-Foo")]
    [InlineData("Connection: x-foo\r\nConnection: X-Bar\r\nX-Foo: 1\r\nX-Bar: 2\r\n", "X-Foo", "X-Bar")]
    [InlineData("Keep-Alive: timeout=5\r\n", "Keep-Alive")]
    [InlineData("Proxy-Connection: keep-alive\r\n", "Proxy-Connection")]
    [InlineData("Proxy-Authorization: Basic x\r\n", "Proxy-Authorization")]
    [InlineData("Proxy-Authenticate: Basic\r\n", "Proxy-Authenticate")]
    [InlineData("TE: gzip\r\n", "TE")]
    [InlineData("Trailer: X-Sum\r\n", "Trailer")]
    [InlineData("Upgrade: foo\r\nConnection: Upgrade\r\n", "Upgrade", "Connection")]
    [InlineData("Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nConnection: Upgrade, HTTP2-Settings\r\n", "Upgrade", "HTTP2-Settings", "Connection")]
    [InlineData("Upgrade: websocket\r\n", "Upgrade")]
    [InlineData("X-Mesh-Source: evil;a;b;c\r\nX_Mesh_Source: evil;a;b;c\r\n", "X_Mesh_Source")]
    [InlineData("X-Forwarded-Client-Cert: By=a;URI=spiffe://cluster.local/ns/a/sa/admin\r\nx_forwarded_client_cert: a\r\nX-Forwarded_Client-Cert: b\r\n",
        "X-Forwarded-Client-Cert", "x_forwarded_client_cert", "X-Forwarded_Client-Cert")]
    [InlineData("Connection: x-forwarded-client-cert\r\nX-Forwarded-Client-Cert: a\r\n", "X-Forwarded-Client-Cert")]
    [InlineData("X-Mesh-Untouched: 1\r\nx-mesh-denied-by: a\r\nX_MESH_anything: b\r\n", "X-Mesh-Untouched", "x-mesh-denied-by", "X_MESH_anything")]
    [InlineData("x-envoy-external-address: 1.2.3.4\r\nX_Envoy_Internal: true\r\nx-envoy-original-path: /admin\r\n", "x-envoy-external-address", "X_Envoy_Internal", "x-envoy-original-path")]
    public async Task FieldsOfTheConnectionStayOnIt(string fields, params string[] gone)
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        var answer = await bed.AskAsync($"GET / HTTP/1.1\r\nHost: web\r\n{fields}X-Kept: yes\r\n\r\n");
        Assert.Equal(200, answer!.Status);
        var request = Assert.Single(origin.Requests);
        Assert.All(gone, name => Assert.Empty(request.Values(name)));
        Assert.Equal(["yes"], request.Values("X-Kept"));
        Assert.Equal(["web-1;default;web;v1"], request.Values("x-mesh-source"));
    }

    [Fact]
    public async Task AnOfferOfH2cIsAnOrdinaryRequestEvenWithABody()
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        using var client = await bed.ConnectAsync();
        for (var i = 0; i < 2; i++)
        {
            await client.SendAsync("POST / HTTP/1.1\r\nHost: web\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\nhello");
            Assert.Equal(200, (await client.ReadAnswerAsync())!.Status);
        }

        Assert.All(origin.Requests, r => Assert.Equal("hello", r.Body));
        Assert.All(origin.Requests, r => Assert.Empty(r.Values("Upgrade")));
    }

    [Fact]
    public async Task OurOwnFieldsCannotBeNominatedAway()
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        await bed.AskAsync("GET / HTTP/1.1\r\nHost: web\r\nConnection: x-mesh-source, x-request-id, host, content-length\r\n\r\n");
        var request = Assert.Single(origin.Requests);
        Assert.Single(request.Values("x-mesh-source"));
        Assert.Single(request.Values("x-request-id"));
        Assert.Equal(["web"], request.Values("Host"));
    }

    [Fact]
    public async Task TeTrailersGoesThrough()
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        await bed.AskAsync("GET / HTTP/1.1\r\nHost: web\r\nTE: trailers, gzip\r\nConnection: TE\r\n\r\n");
        Assert.Equal(["trailers"], Assert.Single(origin.Requests).Values("TE"));
    }

    [Fact]
    public async Task CaseOrderAndBytesSurviveBothWays()
    {
        await using var origin = RecordingOrigin.Saying(
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-cAsE: 1\r\nx-Case: \u00e9\u00ff\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Empty:\r\n\r\n");
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        var answer = await bed.AskAsync("GET / HTTP/1.1\r\nHost: web\r\nX-oDD: 3\r\nX-oDD: 1\r\nX-oDD: 2\r\nX-Bytes: \u00e9\u00ff\r\nCookie: a=1; b=2\r\nX-Empty:\r\n\r\n");
        var request = Assert.Single(origin.Requests);
        Assert.Equal(["3", "1", "2"], request.Values("X-oDD"));
        Assert.Contains("X-oDD: 3", request.Fields);
        Assert.Equal(["\u00e9\u00ff"], request.Values("X-Bytes"));
        Assert.Equal(["a=1; b=2"], request.Values("Cookie"));
        Assert.Equal([""], request.Values("X-Empty"));
        Assert.Equal(["1", "\u00e9\u00ff"], answer!.Values("X-cAsE"));
        Assert.Equal(["a=1", "b=2"], answer.Values("Set-Cookie"));
        Assert.Equal([""], answer.Values("X-Empty"));
    }

    [Fact]
    public async Task FieldsOfTheUpstreamConnectionStayOnIt()
    {
        await using var origin = RecordingOrigin.Saying(
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=1\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\nTrailer: X\r\nX-Kept: yes\r\n\r\nok");
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        var answer = await bed.AskAsync("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
        Assert.Equal("ok", answer!.Body);
        foreach (var name in (string[])["X-Hop", "Keep-Alive", "Proxy-Authenticate", "Upgrade", "Trailer", "Connection"]) Assert.Empty(answer.Values(name));
        Assert.Equal(["yes"], answer.Values("X-Kept"));
    }

    [Fact]
    public async Task IdentifiersAreKeptOrMade()
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        const string Trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        await bed.AskAsync($"GET / HTTP/1.1\r\nHost: web\r\nx-request-id: mine\r\ntraceparent: {Trace}\r\ntracestate: a=b\r\nx-forwarded-proto: https\r\n\r\n");
        await bed.AskAsync("GET / HTTP/1.1\r\nHost: web\r\ntraceparent: nonsense\r\n\r\n");
        var (kept, made) = (origin.Requests.First(), origin.Requests.Last());
        Assert.Equal(["mine"], kept.Values("x-request-id"));
        Assert.Equal([Trace], kept.Values("traceparent"));
        Assert.Equal(["a=b"], kept.Values("tracestate"));
        Assert.Equal(["https"], kept.Values("x-forwarded-proto"));
        Assert.True(Guid.TryParse(Assert.Single(made.Values("x-request-id")), out var id) && id.Version == 4);
        Assert.Matches("^00-[0-9a-f]{32}-[0-9a-f]{16}-00$", Assert.Single(made.Values("traceparent")));
        Assert.Equal(["http"], made.Values("x-forwarded-proto"));
    }

    [Fact]
    public async Task AnInboundSidecarTakesTheSourceAway()
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)), Direction.Inbound);
        await bed.AskAsync("GET / HTTP/1.1\r\nHost: web\r\nx-mesh-source: cart-1;shop;cart;v2\r\n\r\n");
        Assert.Empty(Assert.Single(origin.Requests).Values("x-mesh-source"));
    }

    [Theory]
    [InlineData("GET http://web/x%2Fy?q HTTP/1.1\r\nHost: web\r\n", "GET /x%2Fy?q HTTP/1.1", "web")]
    [InlineData("GET http://web HTTP/1.1\r\nHost: web\r\n", "GET / HTTP/1.1", "web")]
    [InlineData("GET http://web?q=1 HTTP/1.1\r\nHost: web\r\n", "GET /?q=1 HTTP/1.1", "web")]
    [InlineData("GET http://other:81/x HTTP/1.1\r\nHost: web\r\n", "GET /x HTTP/1.1", "other:81")]
    [InlineData("GET http://WEB:80/x HTTP/1.1\r\nHost: web\r\n", "GET /x HTTP/1.1", "WEB:80")]
    [InlineData("OPTIONS * HTTP/1.1\r\nHost: web\r\n", "OPTIONS * HTTP/1.1", "web")]
    [InlineData("OPTIONS http://web HTTP/1.1\r\nHost: web\r\n", "OPTIONS * HTTP/1.1", "web")]
    [InlineData("GET /%2e%2e/%2E/a//b/../c?d=%zz&e=%252F HTTP/1.1\r\nHost: web\r\n", "GET /%2e%2e/%2E/a//b/../c?d=%zz&e=%252F HTTP/1.1", "web")]
    [InlineData("GET /a;b=c/{x}|y^`\"<>\\ HTTP/1.1\r\nHost: web\r\n", "GET /a;b=c/{x}|y^`\"<>\\ HTTP/1.1", "web")]
    [InlineData("GET /%FF%00%c0%af HTTP/1.1\r\nHost: web\r\n", "GET /%FF%00%c0%af HTTP/1.1", "web")]
    [InlineData("WEIRD-method /x HTTP/1.1\r\nHost: web\r\n", "WEIRD-method /x HTTP/1.1", "web")]
    [InlineData("GET /x HTTP/1.1\r\nHost: web.default.svc.cluster.local.:8080\r\n", "GET /x HTTP/1.1", "web.default.svc.cluster.local.:8080")]
    [InlineData("GET /x HTTP/1.1\r\nHost: [::1]:80\r\n", "GET /x HTTP/1.1", "[::1]:80")]
    public async Task TargetsArriveAsTheyWereSent(string request, string line, string host)
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        var answer = await bed.AskAsync(request + "\r\n");
        if (request.Contains("%00", StringComparison.Ordinal) && answer!.Status == 400) return; // Kestrel refuses an encoded NUL: safe
        Assert.Equal(200, answer!.Status);
        var seen = Assert.Single(origin.Requests);
        Assert.Equal(line, seen.Line);
        Assert.Equal([host], seen.Values("Host"));
    }
}
