using System.Collections.Frozen;
using Mesh.Sidecar.Balancing;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Tests.Testbed;

namespace Mesh.Sidecar.Tests.Http;

/// <summary>The sidecar as a forward proxy: CONNECT and absolute-form, to services of the mesh and past it.</summary>
public sealed class ConnectTests
{
    [Fact]
    public async Task ATunnelToAServiceOfTheMesh()
    {
        await using var origin = Echo();
        await using var bed = await Bed.HttpAsync(Proxy(Bed.Cluster(origin.Address)));
        using var client = await bed.ConnectAsync();
        await client.SendAsync("CONNECT web:80 HTTP/1.1\r\nHost: web:80\r\nProxy-Connection: keep-alive\r\n\r\nearly");
        var answer = await client.ReadAnswerAsync(head: true);
        Assert.Equal("HTTP/1.1 200 Connection Established\r\n\r\n", answer!.Head);
        Assert.Equal("early", await client.ReadAsync(5));
        await client.SendAsync("more");
        Assert.Equal("more", await client.ReadAsync(4));
        client.ShutdownSend();
        Assert.Equal("bye", await client.ReadToEndAsync());
        Assert.Equal("earlymore", origin.AllBytes);
    }

    [Fact]
    public async Task TunnelsAreSharedOutByWeightAsRequestsAre()
    {
        await using var small = Echo();
        await using var large = Echo();
        await using var none = Echo();
        WeightedCluster[] clusters = [new("none", Bed.Cluster(none.Address), 0), new("small", Bed.Cluster(small.Address), 1), new("large", Bed.Cluster(large.Address), 3)];
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Route(clusters[0].Cluster!) with { Clusters = [.. clusters], TotalWeight = 4 }));
        const int Tunnels = 200;
        for (var i = 0; i < Tunnels; i++)
        {
            using var client = await bed.ConnectAsync();
            await client.SendAsync("CONNECT web:80 HTTP/1.1\r\nHost: web:80\r\n\r\nx");
            Assert.Equal(200, (await client.ReadAnswerAsync(head: true))!.Status);
            Assert.Equal("x", await client.ReadAsync(1));
        }

        Assert.Equal("", none.AllBytes);
        Assert.InRange(small.AllBytes.Length, Tunnels / 8, Tunnels * 3 / 8);
        Assert.Equal(Tunnels, small.AllBytes.Length + large.AllBytes.Length);
    }

    [Fact]
    public async Task ATunnelPastTheMesh()
    {
        await using var origin = Echo();
        await using var bed = await Bed.HttpAsync(Proxy(Bed.Cluster()));
        using var client = await bed.ConnectAsync();
        await client.DripAsync($"CONNECT {origin.Address} HTTP/1.1\r\nHost: {origin.Address}\r\n\r\n");
        Assert.Equal(200, (await client.ReadAnswerAsync(head: true))!.Status);
        await client.SendAsync("hello");
        Assert.Equal("hello", await client.ReadAsync(5));
    }

    [Theory]
    [InlineData("CONNECT web HTTP/1.1\r\n\r\n", 400)]
    [InlineData("CONNECT http://web:80/ HTTP/1.1\r\n\r\n", 400)]
    [InlineData("CONNECT a@web:80 HTTP/1.1\r\n\r\n", 400)]
    [InlineData("CONNECT web:99999 HTTP/1.1\r\n\r\n", 400)]
    [InlineData("CONNECT web:0 HTTP/1.1\r\n\r\n", 400)]
    [InlineData("CONNECT  web:80 HTTP/1.1\r\n\r\n", 400)]
    [InlineData("CONNECT web:80 HTTP/1.9\r\n\r\n", 400)]
    [InlineData("CONNECT web:80 HTTP/1.1\r\nX : y\r\n\r\n", 400)]
    [InlineData("CONNECT web:80 HTTP/1.1\r\nHost: web\nX: y\r\n\r\n", 400)]
    [InlineData("CONNECT web:80 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400)]
    [InlineData("CONNECT web:80 HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", 400)]
    [InlineData("CONNECT down:80 HTTP/1.1\r\n\r\n", 503)]
    public async Task ARefusedTunnelIsAnAnswerInWords(string request, int status)
    {
        await using var origin = Echo();
        await using var bed = await Bed.HttpAsync(Proxy(Bed.Cluster(origin.Address)));
        using var client = await bed.ConnectAsync();
        await client.SendAsync(request);
        var answer = await client.ReadAnswerAsync();
        Assert.Equal(status, answer!.Status);
        Assert.Contains("mesh: ", answer.Body, StringComparison.Ordinal);
        Assert.Equal("", origin.AllBytes);
    }

    [Fact]
    public async Task OtherWorkloadsGetNoTunnel()
    {
        await using var origin = Echo();
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)), Direction.Inbound);
        Assert.Equal(400, (await bed.AskAsync("CONNECT web:80 HTTP/1.1\r\n\r\n"))!.Status);
        Assert.Equal("", origin.AllBytes);
    }

    [Fact]
    public async Task ATunnelIntoTheSidecarItselfIsCut()
    {
        await using var bed = await Bed.HttpAsync(Proxy(Bed.Cluster()));
        var answer = await bed.AskAsync($"CONNECT {bed.Port} HTTP/1.1\r\n\r\n");
        Assert.Equal(508, answer!.Status);
    }

    [Fact]
    public async Task AbsoluteFormGoesPastTheMeshAndTellsNobodyWhoAsks()
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var bed = await Bed.HttpAsync(Proxy(Bed.Cluster()));
        var answer = await bed.AskAsync($"GET http://{origin.Address}/x HTTP/1.1\r\nHost: {origin.Address}\r\n\r\n");
        Assert.Equal("hello", answer!.Body);
        var request = Assert.Single(origin.Requests);
        Assert.Equal("GET /x HTTP/1.1", request.Line);
        Assert.Empty(request.Values("x-mesh-source"));
        Assert.Equal(["1"], request.Values("x-mesh-hops"));
    }

    [Fact]
    public async Task OnlyWhoTakesUsForAProxyIsPassedOn()
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var bed = await Bed.HttpAsync(Proxy(Bed.Cluster()));
        Assert.Equal(404, (await bed.AskAsync($"GET /x HTTP/1.1\r\nHost: {origin.Address}\r\n\r\n"))!.Status);
        Assert.Equal("", origin.AllBytes);
    }

    [Theory]
    [InlineData("4", 508)]
    [InlineData("3", 200)]
    public async Task ALoopThroughOtherSidecarsIsCut(string hops, int status)
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var bed = await Bed.HttpAsync(Proxy(Bed.Cluster()));
        var answer = await bed.AskAsync($"GET http://{origin.Address}/ HTTP/1.1\r\nHost: {origin.Address}\r\nx-mesh-hops: {hops}\r\n\r\n");
        Assert.Equal(status, answer!.Status);
    }

    [Fact]
    public async Task AbsoluteFormIntoTheSidecarItselfIsCut()
    {
        await using var bed = await Bed.HttpAsync(Proxy(Bed.Cluster()));
        Assert.Equal(508, (await bed.AskAsync($"GET http://{bed.Port}/ HTTP/1.1\r\nHost: {bed.Port}\r\n\r\n"))!.Status);
        Assert.Equal(508, (await bed.AskAsync($"GET http://0.0.0.0:{bed.Port.Port}/ HTTP/1.1\r\nHost: x\r\n\r\n"))!.Status);
        Assert.Equal(508, (await bed.AskAsync($"GET http://localhost:{bed.Port.Port}/ HTTP/1.1\r\nHost: x\r\n\r\n"))!.Status);
        Assert.Equal(508, (await bed.AskAsync($"CONNECT localhost:{bed.Port.Port} HTTP/1.1\r\n\r\n"))!.Status);
    }

    private static RecordingOrigin Echo() => new(async c =>
    {
        var seen = 0;
        while (await c.ReadAsync(1) is { Length: 1 } one)
        {
            seen++;
            await c.SendAsync(one);
        }

        if (seen > 0) await c.SendAsync("bye");
    });

    private static RouteTable Proxy(Cluster web)
    {
        var foreign = new Cluster
        {
            Name = "PassthroughCluster",
            Kind = ClusterKind.Passthrough,
            Policy = LbPolicy.RoundRobin,
            Endpoints = [],
            Service = ServiceLabels.None,
            State = new ClusterState(),
        };
        return new RouteTable
        {
            Name = "outbound",
            Hosts =
            [
                new VirtualHost { Name = "web", Routes = [Bed.Route(web)] },
                new VirtualHost { Name = "down", Routes = [Bed.Route(Bed.Cluster(Bed.Nowhere()))] },
                new VirtualHost { Name = "foreign", Routes = [Bed.Route(foreign)] },
            ],
            Exact = new Dictionary<string, int> { ["web"] = 0, ["web:80"] = 0, ["down:80"] = 1 }.ToFrozenDictionary(StringComparer.OrdinalIgnoreCase),
            Any = 2,
        };
    }
}
