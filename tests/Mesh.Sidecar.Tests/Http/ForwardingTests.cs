using Mesh.Sidecar.Tests.Testbed;

namespace Mesh.Sidecar.Tests.Http;

/// <summary>HTTP/1.1 to HTTP/1.1: what the origin gets, byte for byte, and what the client gets back.</summary>
public sealed class ForwardingTests
{
    [Fact]
    public async Task ARequestIsForwardedAndAnswered()
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        var answer = await bed.AskAsync("GET /a%2Fb?x=%252F HTTP/1.1\r\nHost: web\r\nX-MiXed-Case: one\r\nX-MiXed-Case: two\r\n\r\n");
        Assert.Equal(200, answer!.Status);
        Assert.Equal("hello", answer.Body);
        var request = Assert.Single(origin.Requests);
        Assert.Equal("GET /a%2Fb?x=%252F HTTP/1.1", request.Line);
        Assert.Equal(["web"], request.Values("Host"));
        Assert.Equal(["one", "two"], request.Values("X-MiXed-Case"));
        Assert.Contains("X-MiXed-Case: one", request.Fields);
        Assert.Equal(["web-1;default;web;v1"], request.Values("x-mesh-source"));
        Assert.Single(request.Values("x-request-id"));
        Assert.Single(request.Values("traceparent"));
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
}
