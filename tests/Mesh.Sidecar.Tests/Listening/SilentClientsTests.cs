using Mesh.Sidecar.Balancing;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests.Listening;

/// <summary>Clients that connect and say nothing: anybody can be one, many times.</summary>
[Collection("alone")]
public sealed class SilentClientsTests
{
    private const int Clients = 1000;

    [Fact]
    public async Task EachCostsLittleMemory()
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var pair = await Pair.HttpAsync(origin.Address);
        Assert.Equal(200, (await pair.Client.AskAsync("GET / HTTP/1.1\r\nHost: cart\r\n\r\n"))!.Status);
        var open = pair.Server.Sink.Own.DownstreamOpen.Value;
        var before = GC.GetTotalMemory(forceFullCollection: true);
        var clients = await Task.WhenAll(Enumerable.Range(0, Clients).Select(_ => RawClient.ConnectAsync(pair.Server.Port)));
        try
        {
            await Eventually.TrueAsync(() => pair.Server.Sink.Own.DownstreamOpen.Value >= open + Clients);
            // Sockets of both sides are in this process.
            Assert.InRange((GC.GetTotalMemory(forceFullCollection: true) - before) / Clients, 0, 12_000);
        }
        finally
        {
            foreach (var client in clients) client.Dispose();
        }
    }

    /// <summary>The same inbound: as many as may be, and the application still calls out.</summary>
    [Fact]
    public async Task WhoTakesAllInboundConnectionsTakesNoOutboundOne()
    {
        const int Most = 20;
        await using var origin = RecordingOrigin.Friendly();
        var settings = new DataPathSettings { Self = new PeerLabels("web-1", "default", "web", "v1"), MostConnections = Most };
        var outbound = Bed.Nowhere();
        await using var bed = await Bed.StartAsync(
            at => Bed.Snap(Bed.HttpListener(at, Bed.Table(Bed.Cluster(origin.Address)), Direction.Inbound), Bed.HttpListener(outbound, Bed.Table(Bed.Cluster(origin.Address)), slot: 1)),
            settings: settings);
        var clients = await Task.WhenAll(Enumerable.Range(0, Most).Select(_ => bed.ConnectAsync()));
        await Eventually.TrueAsync(() => bed.Sink.Own.DownstreamOpen.Value == Most);
        using var tooMany = await bed.ConnectAsync();
        Assert.True(await tooMany.EndsWithinAsync(TimeSpan.FromSeconds(5)));
        Assert.Equal(1, bed.Sink.Own.ConnectionsOverLimit.Value);

        using var application = await RawClient.ConnectAsync(outbound);
        await application.SendAsync("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
        Assert.Equal(200, (await application.ReadAnswerAsync())!.Status);
        foreach (var client in clients) client.Dispose();
    }

    /// <summary>A permissive port of HTTP, as most are: a client of HTTP speaks first, so who does not is not waited for.</summary>
    [Fact]
    public async Task NobodyIsKeptWhoSaysNothingWhereHttpIsSpoken()
    {
        await using var origin = RecordingOrigin.Friendly();
        var time = new ManualTimeProvider();
        await using var bed = await Bed.StartAsync(
            at =>
            {
                var routes = Bed.Table(Bed.Cluster(origin.Address));
                var plain = new FilterChain { Name = "http", TransportProtocol = "raw_buffer", Http = new HttpConnectionManager { Routes = routes } };
                return Bed.Snap(Pair.MutualListener(at, routes, plain) with { DetectTimeout = TimeSpan.FromSeconds(5) });
            },
            time);
        using var client = await bed.ConnectAsync();
        for (var i = 0; i < 100 && !await client.EndsWithinAsync(TimeSpan.FromMilliseconds(20)); i++) time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal("", await client.ReadToEndAsync());
        // The client hears it before it is counted.
        await Eventually.TrueAsync(() => bed.Sink.Own.DownstreamOpen.Value == 0);

        Assert.Equal(200, (await bed.AskAsync("GET / HTTP/1.1\r\nHost: web\r\n\r\n"))!.Status);
    }
}
