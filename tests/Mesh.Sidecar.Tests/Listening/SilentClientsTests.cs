using System.Net;
using System.Net.Sockets;
using Mesh.Sidecar.Balancing;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Listening;
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
        const int Most = 24, MostOfOne = 21;
        await using var origin = RecordingOrigin.Friendly();
        var settings = new DataPathSettings { Self = new PeerLabels("web-1", "default", "web", "v1"), MostConnections = Most };
        var outbound = Bed.Nowhere();
        await using var bed = await Bed.StartAsync(
            at => Bed.Snap(Bed.HttpListener(at, Bed.Table(Bed.Cluster(origin.Address)), Direction.Inbound), Bed.HttpListener(outbound, Bed.Table(Bed.Cluster(origin.Address)), slot: 1)),
            settings: settings);
        // One client alone leaves some to the others.
        var clients = await Task.WhenAll(Enumerable.Range(0, MostOfOne).Select(_ => bed.ConnectAsync()));
        await Eventually.TrueAsync(() => bed.Sink.Own.DownstreamOpen.Value == MostOfOne);
        await RefusedAsync(1);
        var others = await Task.WhenAll(Enumerable.Range(2, Most - MostOfOne).Select(i => RawClient.ConnectAsync(bed.Port, IPAddress.Parse($"127.0.0.{i}"))));
        await Eventually.TrueAsync(() => bed.Sink.Own.DownstreamOpen.Value == Most);
        await RefusedAsync(2);
        Assert.Single(bed.Output.ToString().Split('\n'), l => l.Contains("as many connections are open as may be", StringComparison.Ordinal));

        using var application = await RawClient.ConnectAsync(outbound);
        await application.SendAsync("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
        Assert.Equal(200, (await application.ReadAnswerAsync())!.Status);
        foreach (var client in clients) client.Dispose();

        // Who has left makes room.
        await Eventually.TrueAsync(() => bed.Sink.Own.DownstreamOpen.Value <= Most - MostOfOne + 1);
        Assert.Equal(200, (await bed.AskAsync("GET / HTTP/1.1\r\nHost: web\r\n\r\n"))!.Status);
        foreach (var client in others) client.Dispose();

        async Task RefusedAsync(int times)
        {
            try
            {
                using var tooMany = await bed.ConnectAsync();
                Assert.True(await tooMany.EndsWithinAsync(TimeSpan.FromSeconds(5)));
            }
            catch (SocketException)
            {
                // Reset before it knew that it was connected.
            }

            Assert.Equal(times, bed.Sink.Own.ConnectionsOverLimit.Value);
        }
    }

    [Theory]
    [InlineData("10.0.0.1", "10.0.0.2", false)]
    [InlineData("10.0.0.1", "::ffff:10.0.0.1", true)]
    [InlineData("fd00::1", "fd00::ffff:1", true)] // one network is one client's to choose from
    [InlineData("fd00::1", "fd00:0:0:1::1", false)]
    public void AClientIsAnAddressOrANetwork(string one, string other, bool same) =>
        Assert.Equal(same, ConnectionLimit.ClientOf(new IPEndPoint(IPAddress.Parse(one), 1)) == ConnectionLimit.ClientOf(new IPEndPoint(IPAddress.Parse(other), 2)));

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
