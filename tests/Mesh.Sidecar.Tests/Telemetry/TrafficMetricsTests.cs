using System.Diagnostics.Metrics;
using System.Text.RegularExpressions;
using Mesh.Sidecar.Balancing;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Telemetry;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests.Telemetry;

public class TrafficMetricsTests
{
    private readonly ManualTimeProvider time = new();

    [Fact]
    public async Task A_request_shows_with_istios_labels_and_buckets()
    {
        var sink = TelemetrySink.Plain(time);
        sink.Request(Samples.Request(time, milliseconds: 12));
        sink.Request(Samples.Request(time, milliseconds: 30));
        var text = await Samples.ExposeAsync(sink);
        Assert.Contains(
            "istio_requests_total{reporter=\"source\",source_workload=\"web-1\",source_workload_namespace=\"shop\",source_principal=\"unknown\"," +
            "source_app=\"web\",source_version=\"v1\",source_canonical_service=\"web\",source_canonical_revision=\"v1\",source_cluster=\"default\"," +
            "destination_workload=\"cart-1\",destination_workload_namespace=\"shop\",destination_principal=\"unknown\",destination_app=\"cart\"," +
            "destination_version=\"v2\",destination_canonical_service=\"cart\",destination_canonical_revision=\"v2\",destination_cluster=\"default\"," +
            "destination_service=\"cart.shop.svc.cluster.local\",destination_service_name=\"cart\",destination_service_namespace=\"shop\"," +
            "request_protocol=\"http\",response_code=\"200\",grpc_response_status=\"\",response_flags=\"-\",connection_security_policy=\"unknown\"} 2\n",
            text, StringComparison.Ordinal);
        Assert.Equal(0, Bucket(text, "istio_request_duration_milliseconds", "10"));
        Assert.Equal(1, Bucket(text, "istio_request_duration_milliseconds", "25"));
        Assert.Equal(2, Bucket(text, "istio_request_duration_milliseconds", "50"));
        Assert.Equal(2, Bucket(text, "istio_request_duration_milliseconds", "+Inf"));
        Assert.Equal(0, Bucket(text, "istio_response_bytes", "500"));
        Assert.Equal(2, Bucket(text, "istio_response_bytes", "1000"));
        Assert.Matches(@"istio_request_duration_milliseconds_sum\{[^}]*\} 42\n", text);
    }

    [Theory]
    [InlineData(Direction.Inbound, false, 503, -1, Failure.NoEndpoint, "reporter=\"destination\"", "request_protocol=\"http\"", "response_flags=\"UH\"")]
    [InlineData(Direction.Outbound, true, 200, 14, Failure.None, "reporter=\"source\"", "request_protocol=\"grpc\"", "grpc_response_status=\"14\"")]
    [InlineData(Direction.Inbound, true, 200, 0, Failure.None, "connection_security_policy=\"none\"", "grpc_response_status=\"0\"", "response_code=\"200\"")]
    [InlineData(Direction.Outbound, false, 0, -1, Failure.ClientGone, "response_code=\"0\"", "response_flags=\"DC\"", "reporter=\"source\"")]
    public async Task Labels_say_how_it_ended(Direction direction, bool grpc, int status, int grpcStatus, Failure failure, params string[] expected)
    {
        var sink = TelemetrySink.Plain(time);
        var facts = Samples.Request(time, status: status);
        (facts.Direction, facts.Grpc, facts.GrpcStatus, facts.Failure, facts.Security) = (direction, grpc, grpcStatus, failure, ConnectionSecurity.None);
        sink.Request(facts);
        var line = (await Samples.ExposeAsync(sink)).Split('\n').Single(l => l.StartsWith("istio_requests_total", StringComparison.Ordinal));
        Assert.All(expected, part => Assert.Contains(part, line, StringComparison.Ordinal));
    }

    [Fact]
    public void Every_istio_bound_is_met_exactly_whatever_the_clock()
    {
        foreach (var frequency in (long[])[1_000_000_000, 10_000_000])
        {
            var bounds = new Bounds(frequency);
            foreach (var bound in Bounds.Istio)
            {
                var cells = new HistogramCells(bounds.Latency);
                cells.Record((long)(bound * bounds.TicksPerMillisecond));
                cells.Record((long)(bound * bounds.TicksPerMillisecond) + 1);
                var fine = new long[cells.Length];
                var istio = new long[Bounds.Istio.Length + 1];
                cells.Read(fine);
                Bounds.Coarsen(fine, istio);
                var index = Array.IndexOf(Bounds.Istio, bound);
                Assert.Equal((1, 1), (istio[index], istio[index + 1]));
            }
        }
    }

    [Fact]
    public void Equal_labels_of_a_newer_snapshot_count_on_the_same_series()
    {
        var sink = TelemetrySink.Plain(time);
        sink.Request(Samples.Request(time));
        var again = Samples.Request(time);
        again.Destination = Samples.Cart with { };
        again.Service = Samples.CartService with { };
        sink.Request(again);
        Assert.Equal(2, Assert.Single(sink.Traffic.Requests.All).Latency.Count());
    }

    [Fact]
    public void Beyond_the_budget_requests_are_counted_as_other_and_the_overflow_shows()
    {
        var own = new SidecarMetrics();
        var traffic = new TrafficSeries(time, budget: 10, own);
        using var instruments = new Instruments(traffic, own);
        var sink = new TelemetrySink(own, traffic, instruments, log: null);
        for (var i = 0; i < 500; i++)
        {
            var facts = Samples.Request(time);
            facts.Source = new PeerLabels($"attacker-{i}", "x", "x", "x");
            sink.Request(facts);
        }

        Assert.Equal(11, traffic.Requests.All.Count);
        Assert.Equal(500, traffic.Requests.All.Sum(s => s.Latency.Count()));
        Assert.Equal(490, own.SeriesOverflow.Value);
        Assert.Contains(SeriesLabels.Of(traffic.Requests.All[^1].Key), l => l is { Name: "response_code", Value: "2xx" });
    }

    [Fact]
    public void Idle_series_leave_only_when_room_is_scarce()
    {
        var own = new SidecarMetrics();
        var traffic = new TrafficSeries(time, budget: 4, own);
        for (var i = 0; i < 3; i++) traffic.Requests.Find(Key(i));
        var busy = traffic.Requests.Find(Key(0));
        traffic.Requests.Sweep(time.GetUtcNow());
        time.Advance(TimeSpan.FromMinutes(20));
        busy.Latency.Record(1);
        traffic.Requests.Sweep(time.GetUtcNow());
        Assert.Same(busy, Assert.Single(traffic.Requests.All));
        Assert.Same(busy, traffic.Requests.Find(Key(0)));
        time.Advance(TimeSpan.FromMinutes(20));
        traffic.Requests.Sweep(time.GetUtcNow());
        Assert.Single(traffic.Requests.All);
    }

    [Fact]
    public async Task A_tcp_connection_counts_while_it_is_open()
    {
        var sink = TelemetrySink.Plain(time);
        var facts = Samples.Tcp(time);
        sink.TcpOpened(facts);
        facts.ReceivedBytes = 100;
        facts.SentBytes = 50;
        var open = await Samples.ExposeAsync(sink);
        Assert.Matches(@"istio_tcp_received_bytes_total\{[^}]*\} 100\n", open);
        Assert.Matches(@"istio_tcp_connections_closed_total\{[^}]*\} 0\n", open);
        facts.ReceivedBytes = 101;
        sink.TcpClosed(facts);
        var closed = await Samples.ExposeAsync(sink);
        Assert.Matches(@"istio_tcp_received_bytes_total\{[^}]*\} 101\n", closed);
        Assert.Matches(@"istio_tcp_sent_bytes_total\{[^}]*\} 50\n", closed);
        Assert.Matches(@"istio_tcp_connections_closed_total\{[^}]*request_protocol=""tcp""[^}]*\} 1\n", closed);
    }

    [Fact]
    public void A_tcp_connection_that_never_reached_its_upstream_counts_as_opened_and_closed()
    {
        var sink = TelemetrySink.Plain(time);
        var facts = Samples.Tcp(time);
        facts.Failure = Failure.ConnectFailure;
        sink.TcpClosed(facts);
        var series = Assert.Single(sink.Traffic.Tcp.All);
        Assert.Equal((1, 1, Failure.ConnectFailure), (series.Opened, series.Closed, series.Key.Failure));
    }

    [Fact]
    public void The_meter_shows_the_same_numbers()
    {
        var sink = TelemetrySink.Plain(time);
        var seen = new Dictionary<string, double>(StringComparer.Ordinal);
        using var listener = new MeterListener();
        listener.InstrumentPublished = (instrument, l) =>
        {
            if (instrument.Meter.Name == Instruments.MeterName) l.EnableMeasurementEvents(instrument);
        };
        listener.SetMeasurementEventCallback<double>((i, v, tags, _) => Add(i, v, tags));
        listener.SetMeasurementEventCallback<long>((i, v, tags, _) => Add(i, v, tags));
        listener.Start();
        var facts = Samples.Request(time, milliseconds: 12);
        facts.Source = new PeerLabels("meter-test", "x", "x", "x");
        sink.Request(facts);
        listener.RecordObservableInstruments();
        Assert.Equal(1, seen["istio_requests_total"]);
        Assert.Equal(12, seen["istio_request_duration_milliseconds"], 0.001);
        Assert.Equal(700, seen["istio_response_bytes"]);

        void Add(Instrument instrument, double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
        {
            // Other tests' sinks have meters of the same name in this process.
            foreach (var tag in tags)
            {
                if (tag is { Key: "source_workload", Value: "meter-test" }) seen[instrument.Name] = value;
            }
        }
    }

    [Fact]
    public void A_known_request_is_counted_without_allocating()
    {
        var sink = TelemetrySink.Plain(time);
        var facts = Samples.Request(time);
        // Of several looks the least: the runtime allocates on this thread, too, when it replaces a method with a better one.
        var least = long.MaxValue;
        for (var look = 0; look < 10 && least > 0; look++)
        {
            var before = GC.GetAllocatedBytesForCurrentThread();
            for (var i = 0; i < 10_000; i++) sink.Request(facts);
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        Assert.Equal(0, least);
    }

    private static SeriesKey Key(int i) =>
        new(new PeerLabels($"w{i}", "x", "x", "x"), Samples.Cart, Samples.CartService, Direction.Outbound, SeriesProtocol.Http, Failure.None, 200, -1, ConnectionSecurity.None);

    private static long Bucket(string text, string name, string le) =>
        long.Parse(Regex.Match(text, name + @"_bucket\{[^}]*le=""" + Regex.Escape(le) + @"""\} (\d+)").Groups[1].Value,
            System.Globalization.CultureInfo.InvariantCulture);
}
