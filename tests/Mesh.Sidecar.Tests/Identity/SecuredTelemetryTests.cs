using Mesh.Sidecar.Config;
using Mesh.Sidecar.Telemetry;
using Mesh.Sidecar.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests.Identity;

/// <summary>What metrics and edge reports say of connections under mutual TLS: who both sides proved to be, and nothing anybody only said.</summary>
public sealed class SecuredTelemetryTests
{
    private const string Get = "GET / HTTP/1.1\r\nHost: cart\r\n\r\n";

    [Fact]
    public async Task BothSidesNameBothPrincipals()
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var pair = await Pair.HttpAsync(origin.Address);
        Assert.Equal(200, (await pair.Client.AskAsync(Get))!.Status);
        foreach (var bed in new[] { pair.Client, pair.Server })
        {
            await Eventually.TrueAsync(() => bed.Sink.Traffic.Requests.All.Count == 1);
            var labels = LabelsOf(bed);
            Assert.Equal("mutual_tls", labels["connection_security_policy"]);
            Assert.Equal(Authority.Web, labels["source_principal"]);
            Assert.Equal(Authority.Cart, labels["destination_principal"]);
            Assert.Equal("web-1", labels["source_workload"]);
            Assert.Equal("cart-1", labels["destination_workload"]);
            var edge = Assert.Single(new EdgeDeltas(bed.Sink.Traffic, "node").Collect(TimeSpan.FromSeconds(1)).Edges);
            Assert.True(edge.Secured);
            Assert.Equal((Authority.Web, Authority.Cart), (edge.Source.Identity, edge.Destination.Identity));
        }
    }

    [Fact]
    public async Task PlaintextProvesNothing()
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)), Direction.Inbound);
        await bed.AskAsync(Get);
        await Eventually.TrueAsync(() => bed.Sink.Traffic.Requests.All.Count == 1);
        var labels = LabelsOf(bed);
        Assert.Equal(("none", "unknown", "unknown"), (labels["connection_security_policy"], labels["source_principal"], labels["destination_principal"]));
        var edge = Assert.Single(new EdgeDeltas(bed.Sink.Traffic, "node").Collect(TimeSpan.FromSeconds(1)).Edges);
        Assert.Equal((false, ""), (edge.Secured, edge.Source.Identity));
    }

    [Fact]
    public async Task ACallerWithoutOurHeaderIsKnownByItsIdAlone()
    {
        await using var origin = new RecordingOrigin(c => c.SendAsync("hi"));
        await using var pair = await Pair.TcpAsync(origin.Address);
        using var client = await pair.Client.ConnectAsync();
        await client.ReadToEndAsync();
        client.Dispose();
        await Eventually.TrueAsync(() => pair.Server.Sink.Traffic.Tcp.All.Any(s => s.Closed == 1));
        var key = pair.Server.Sink.Traffic.Tcp.All[0].Key;
        Assert.Equal((Authority.Web, "shop", "unknown"), (key.Source.Principal, key.Source.Namespace, key.Source.Workload));
        Assert.Equal((Authority.Cart, ConnectionSecurity.MutualTls), (key.Destination.Principal, key.Security));
        var outbound = pair.Client.Sink.Traffic.Tcp.All[0].Key;
        Assert.Equal((Authority.Cart, ConnectionSecurity.MutualTls), (outbound.Destination.Principal, outbound.Security));
    }

    private static Dictionary<string, string> LabelsOf(Bed bed) =>
        SeriesLabels.Of(bed.Sink.Traffic.Requests.All[0].Key).ToDictionary(l => l.Name, l => l.Value);
}
