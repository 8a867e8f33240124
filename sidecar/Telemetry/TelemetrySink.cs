namespace Mesh.Sidecar.Telemetry;

/// <summary>
/// Where the data path reports what happened. Called once at the end of a request, and at both ends of a TCP connection.
/// Thread safe; never blocks, never throws, allocates nothing once a series exists and the access log is off.
/// </summary>
internal sealed class TelemetrySink
{
    /// <summary>Most series of requests, and as many of TCP connections.</summary>
    public const int DefaultBudget = 2000;

    private readonly TrafficSeries traffic;
    private readonly Instruments instruments;
    private readonly AccessLog? log;

    /// <summary>A sink over the series of this process; <paramref name="log"/> null is no access log.</summary>
    public TelemetrySink(SidecarMetrics own, TrafficSeries traffic, Instruments instruments, AccessLog? log)
    {
        Own = own;
        this.traffic = traffic;
        this.instruments = instruments;
        this.log = log;
    }

    /// <summary>A sink with nothing attached to it but its series: for tests and for parts that need no exposition.</summary>
    public static TelemetrySink Plain(TimeProvider time)
    {
        var own = new SidecarMetrics();
        var series = new TrafficSeries(time, DefaultBudget, own);
        return new TelemetrySink(own, series, new Instruments(series, own), log: null);
    }

    /// <summary>The sidecar's numbers about itself: count on them directly.</summary>
    public SidecarMetrics Own { get; }

    /// <summary>The series behind the sink.</summary>
    public TrafficSeries Traffic => traffic;

    /// <summary>A request ended. <paramref name="facts"/> may be reused as soon as this returns.</summary>
    public void Request(RequestFacts facts)
    {
        var key = new SeriesKey(facts.Source, facts.Destination, facts.Service, facts.Direction,
            facts.Grpc ? SeriesProtocol.Grpc : SeriesProtocol.Http, facts.Failure, (short)facts.Status, (short)facts.GrpcStatus, facts.Security);
        var series = traffic.Requests.Find(key);
        var ticks = facts.Ended - facts.Started;
        series.Latency.Record(ticks);
        series.RequestBytes.Record(facts.RequestBytes);
        series.ResponseBytes.Record(facts.ResponseBytes);
        instruments.Record(series, ticks, facts.RequestBytes, facts.ResponseBytes);
        if (facts.Span is not null) Spans.End(facts);
        log?.Request(facts);
    }

    /// <summary>
    /// A TCP connection reached its upstream. From now on its byte counters are read whenever metrics are,
    /// so a long connection shows up while it lives.
    /// </summary>
    public void TcpOpened(TcpFacts facts) => traffic.Open(facts);

    /// <summary>A TCP connection ended, or failed before it was opened.</summary>
    public void TcpClosed(TcpFacts facts)
    {
        traffic.Close(facts);
        log?.Tcp(facts);
    }
}
