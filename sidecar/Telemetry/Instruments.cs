using System.Diagnostics.Metrics;
using System.Reflection;

namespace Mesh.Sidecar.Telemetry;

/// <summary>
/// The meter <c>Mesh.Sidecar</c>: counters read the series when observed; histograms are recorded only while somebody listens,
/// because a histogram cannot be observed. One per process. Thread safe.
/// </summary>
internal sealed class Instruments : IDisposable
{
    /// <summary>Name of the meter, for exporters.</summary>
    public const string MeterName = "Mesh.Sidecar";

    private readonly Meter meter;
    private readonly Histogram<double> duration;
    private readonly Histogram<long> requestBytes;
    private readonly Histogram<long> responseBytes;
    private readonly double ticksPerMillisecond;

    /// <summary>Instruments over the series and the sidecar's own numbers.</summary>
    public Instruments(TrafficSeries traffic, SidecarMetrics own)
    {
        meter = new Meter(MeterName, Version);
        ticksPerMillisecond = traffic.Bounds.TicksPerMillisecond;
        duration = meter.CreateHistogram("istio_request_duration_milliseconds", "ms", Descriptions.Duration, tags: null,
            new InstrumentAdvice<double> { HistogramBucketBoundaries = Bounds.Istio });
        var bytes = new InstrumentAdvice<long> { HistogramBucketBoundaries = Bounds.Bytes };
        requestBytes = meter.CreateHistogram("istio_request_bytes", "By", Descriptions.RequestBytes, tags: null, bytes);
        responseBytes = meter.CreateHistogram("istio_response_bytes", "By", Descriptions.ResponseBytes, tags: null, bytes);
        meter.CreateObservableCounter("istio_requests_total",
            () => traffic.Requests.All.Select(s => new Measurement<long>(s.Latency.Count(), s.Tags)), description: Descriptions.Requests);
        ObserveTcp(traffic);
        ObserveOwn(own);
    }

    /// <summary>Version of this program.</summary>
    public static string Version { get; } =
        typeof(Instruments).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "unknown";

    /// <summary>Hands a request's numbers to whoever listens.</summary>
    public void Record(RequestSeries series, long ticks, long fromClient, long toClient)
    {
        if (duration.Enabled) duration.Record(ticks / ticksPerMillisecond, series.Tags);
        if (requestBytes.Enabled) requestBytes.Record(fromClient, series.Tags);
        if (responseBytes.Enabled) responseBytes.Record(toClient, series.Tags);
    }

    /// <inheritdoc/>
    public void Dispose() => meter.Dispose();

    private void ObserveTcp(TrafficSeries traffic)
    {
        Observe("istio_tcp_sent_bytes_total", Descriptions.TcpSent, s => s.Sent);
        Observe("istio_tcp_received_bytes_total", Descriptions.TcpReceived, s => s.Received);
        Observe("istio_tcp_connections_opened_total", Descriptions.TcpOpened, s => s.Opened);
        Observe("istio_tcp_connections_closed_total", Descriptions.TcpClosed, s => s.Closed);

        void Observe(string name, string help, Func<TcpSeries, long> read) => meter.CreateObservableCounter(name, () =>
        {
            traffic.Refresh();
            return traffic.Tcp.All.Select(s => new Measurement<long>(read(s), s.Tags));
        }, description: help);
    }

    private void ObserveOwn(SidecarMetrics own)
    {
        foreach (var counter in own.Counters) meter.CreateObservableCounter(counter.Name, () => counter.Value, description: counter.Help);
        foreach (var family in own.Families)
            meter.CreateObservableCounter(family.Name, () => family.Members.Select(m => new Measurement<long>(m.Count.Value, m.Tags)), description: family.Help);
        foreach (var gauge in own.Gauges) meter.CreateObservableGauge(gauge.Name, () => gauge.Value, description: gauge.Help);
        foreach (var number in own.Observed) Observe(number);
        own.Added += Observe;

        void Observe(ObservedNumber number)
        {
            if (number.Grows) meter.CreateObservableCounter(number.Name, number.Read, description: number.Help);
            else meter.CreateObservableGauge(number.Name, number.Read, description: number.Help);
        }
    }
}
