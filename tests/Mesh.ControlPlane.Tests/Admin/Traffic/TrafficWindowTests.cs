using Mesh.Api.Telemetry;
using Mesh.Api.V1;
using Mesh.ControlPlane.Admin.Traffic;
using Mesh.Tests;

namespace Mesh.ControlPlane.Tests.Admin.Traffic;

public sealed class TrafficWindowTests
{
    private readonly ManualTimeProvider time = new();
    private readonly Dictionary<EdgeKey, long> stream = [];
    private readonly TrafficWindow window;

    public TrafficWindowTests() => window = new TrafficWindow(time);

    [Fact]
    public void Rates_and_quantiles_are_of_the_complete_seconds_of_the_window()
    {
        for (var second = 0; second < 20; second++)
        {
            Report(Edge("shop", "cart", requests: 100, failures: 1, milliseconds: 20));
            time.Advance(TimeSpan.FromSeconds(1));
        }

        var edge = Assert.Single(window.Edges(10));
        Assert.Equal(("shop", "cart"), (edge.Source.Workload, edge.Destination.Service));
        Assert.Equal((100, 0.99, 1000, 10), (edge.Traffic.Rps, edge.Traffic.SuccessRate, edge.Traffic.Requests, edge.Traffic.Failures));
        Assert.InRange(edge.Traffic.P50!.Value, 15, 20);
        Assert.InRange(edge.Traffic.P99!.Value, 15, 20);
        Assert.Equal(2000, Assert.Single(window.Edges(60)).Traffic.Requests);
    }

    [Fact]
    public void What_is_older_than_the_window_is_gone()
    {
        Report(Edge("shop", "cart", requests: 5));
        time.Advance(TimeSpan.FromSeconds(11));
        Assert.Empty(window.Edges(10));
        Assert.Single(window.Edges(30));
        time.Advance(TimeSpan.FromSeconds(200));
        Assert.Empty(window.Edges(60));
    }

    [Fact]
    public void Both_sides_of_a_call_count_once()
    {
        Report(Edge("shop", "cart", requests: 10), Edge("shop", "cart", requests: 10, reporter: "destination"));
        Report(Edge("unknown", "cart", requests: 3, reporter: "destination"), Edge("other-mesh", "cart", requests: 2, reporter: "destination"));
        time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(
            [("other-mesh", 2), ("shop", 10), ("unknown", 3)],
            window.Edges(10).Select(e => (e.Source.Workload, (int)e.Traffic.Requests)));
        Assert.Equal(15, window.Inbound(10)[("default", "cart")].Requests);
    }

    [Fact]
    public void An_opaque_connection_is_told_by_the_side_that_knows_more()
    {
        const string Shop = "spiffe://cluster.local/ns/default/sa/shop";
        var (bySource, byDestination, ofForeigner) =
            (Edge("shop", "db", requests: 10), Edge("unknown", "db", requests: 10, reporter: "destination"), Edge("unknown", "db", requests: 3, reporter: "destination"));
        (bySource.Source.Identity, byDestination.Source.Identity, ofForeigner.Source.Identity) = (Shop, Shop, "spiffe://cluster.local/ns/default/sa/envoy");
        Report(bySource, byDestination, ofForeigner);
        time.Advance(TimeSpan.FromSeconds(1));

        Assert.Equal([("shop", 10), ("unknown", 3)], window.Edges(10).Select(e => (e.Source.Workload, (int)e.Traffic.Requests)).Order());
    }

    [Fact]
    public void Versions_are_edges_of_their_own_and_a_service_is_their_sum()
    {
        Report(Edge("shop", "cart", requests: 9, version: "v1", reporter: "destination"), Edge("shop", "cart", requests: 1, version: "v2", reporter: "destination"));
        time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(["v1", "v2"], window.Edges(10).Select(e => e.Destination.Version));
        Assert.Equal(10, Assert.Single(window.Inbound(10)).Value.Requests);
    }

    [Fact]
    public void Open_connections_are_counted_until_they_close_or_their_sidecar_leaves()
    {
        Report(Tcp(opened: 5, closed: 1));
        time.Advance(TimeSpan.FromSeconds(120));
        Assert.Equal(4, Assert.Single(window.Edges(10)).Traffic.TcpConnections);
        Report(Tcp(opened: 0, closed: 1));
        Assert.Equal(3, Assert.Single(window.Edges(10)).Traffic.TcpConnections);
        window.Forget(stream);
        time.Advance(TimeSpan.FromSeconds(2));
        Assert.Empty(window.Edges(1));
    }

    [Fact]
    public void Edges_are_bounded_and_idle_ones_make_room()
    {
        for (var i = 0; i < TrafficWindow.MostEdges + 10; i++) Report(Edge($"w{i}", "cart", requests: 1));
        time.Advance(TimeSpan.FromSeconds(1));
        var edges = window.Edges(10);
        Assert.Equal(TrafficWindow.MostEdges + 1, edges.Count);
        Assert.Equal(10, edges.Single(e => e.Source.Workload == "other").Traffic.Requests);
        time.Advance(TimeSpan.FromSeconds(100));
        Report(Edge("late", "cart", requests: 1));
        time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(["late"], window.Edges(10).Select(e => e.Source.Workload));
    }

    [Fact]
    public void A_report_from_nobody_knows_where_does_not_break_anything()
    {
        var odd = new Edge { Requests = ulong.MaxValue, Failures = ulong.MaxValue, Reporter = new string('x', 10_000) };
        odd.LatencyBuckets.AddRange(Enumerable.Repeat(1UL, 10_000));
        Report(odd);
        time.Advance(TimeSpan.FromSeconds(1));
        var edge = Assert.Single(window.Edges(10));
        Assert.Equal(0, edge.Traffic.SuccessRate);
    }

    private void Report(params Edge[] edges) => window.Add(new EdgeReport { Edges = { edges } }, stream);

    private static Edge Edge(string source, string destination, ulong requests, ulong failures = 0, double milliseconds = 1, string reporter = "source", string version = "")
    {
        var edge = new Edge
        {
            Source = new Edge.Types.Workload { Workload_ = source, Namespace = "default", Service = source },
            Destination = new Edge.Types.Workload { Workload_ = destination, Namespace = "default", Service = destination, Version = version },
            Reporter = reporter,
            Protocol = "http",
            Requests = requests,
            Failures = failures,
        };
        var counts = new ulong[LatencyBuckets.IndexOf(milliseconds) + 1];
        counts[^1] = requests;
        edge.LatencyBuckets.Add(counts);
        return edge;
    }

    [Fact]
    public void A_stream_remembers_only_connections_that_are_open()
    {
        Report(Tcp(opened: 3, closed: 1));
        Assert.Equal(2, Assert.Single(stream).Value);
        Report(Tcp(opened: 0, closed: 2));
        Assert.Empty(stream);
    }

    private static Edge Tcp(ulong opened, ulong closed)
    {
        var edge = Edge("shop", "db", requests: 0);
        (edge.Protocol, edge.TcpOpened, edge.TcpClosed) = ("tcp", opened, closed);
        edge.LatencyBuckets.Clear();
        return edge;
    }
}
