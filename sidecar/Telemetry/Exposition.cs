using System.Diagnostics;
using System.IO.Pipelines;
using Mesh.Api.Telemetry;

namespace Mesh.Sidecar.Telemetry;

/// <summary>
/// All metrics as Prometheus text, read straight from the series. Written piece by piece, so that a large exposition is never held whole.
/// Thread safe: each answer has its own writer.
/// </summary>
internal sealed class Exposition(TrafficSeries traffic, SidecarMetrics own)
{
    private const long FlushAt = 32 * 1024;

    /// <summary>Writes everything to <paramref name="output"/>.</summary>
    public async Task WriteAsync(PipeWriter output, CancellationToken cancel)
    {
        var text = new PrometheusText(output);
        traffic.Refresh();
        WriteBuild(text);
        await WriteCountersAsync(text, "istio_requests_total", Descriptions.Requests, traffic.Requests.All, s => s.Latency.Count());
        await WriteHistogramsAsync("istio_request_duration_milliseconds", Descriptions.Duration, WriteDuration);
        await WriteHistogramsAsync("istio_request_bytes", Descriptions.RequestBytes,
            (t, n, s) => WriteBytes(t, n, s, s.RequestBytes));
        await WriteHistogramsAsync("istio_response_bytes", Descriptions.ResponseBytes,
            (t, n, s) => WriteBytes(t, n, s, s.ResponseBytes));
        await WriteCountersAsync(text, "istio_tcp_sent_bytes_total", Descriptions.TcpSent, traffic.Tcp.All, s => s.Sent);
        await WriteCountersAsync(text, "istio_tcp_received_bytes_total", Descriptions.TcpReceived, traffic.Tcp.All, s => s.Received);
        await WriteCountersAsync(text, "istio_tcp_connections_opened_total", Descriptions.TcpOpened, traffic.Tcp.All, s => s.Opened);
        await WriteCountersAsync(text, "istio_tcp_connections_closed_total", Descriptions.TcpClosed, traffic.Tcp.All, s => s.Closed);
        WriteOwn(text);
        WriteProcess(text);
        await output.FlushAsync(cancel);

        async Task WriteCountersAsync<T>(PrometheusText to, string name, string help, IReadOnlyList<T> all, Func<T, long> read)
            where T : Series
        {
            if (all.Count == 0) return;
            to.Family(name, "counter", help);
            foreach (var series in all)
            {
                to.Sample(name, series.Text, read(series));
                await FlushWhenLargeAsync();
            }
        }

        async Task WriteHistogramsAsync(string name, string help, Action<PrometheusText, string, RequestSeries> write)
        {
            if (traffic.Requests.All.Count == 0) return;
            text.Family(name, "histogram", help);
            foreach (var series in traffic.Requests.All)
            {
                write(text, name, series);
                await FlushWhenLargeAsync();
            }
        }

        async ValueTask FlushWhenLargeAsync()
        {
            if (output.CanGetUnflushedBytes && output.UnflushedBytes >= FlushAt) await output.FlushAsync(cancel);
        }
    }

    private static void WriteBuild(PrometheusText text)
    {
        text.Family("istio_build", "gauge", Descriptions.Build);
        text.Sample("istio_build", PrometheusText.Labels(("component", "proxy"), ("tag", "mesh-" + Instruments.Version)), 1);
    }

    private static void WriteBytes(PrometheusText text, string name, RequestSeries series, HistogramCells cells)
    {
        Span<long> counts = stackalloc long[Bounds.Istio.Length + 1];
        cells.Read(counts);
        text.Histogram(name, series.Text, Bounds.IstioText, counts, cells.Sum);
    }

    private void WriteDuration(PrometheusText text, string name, RequestSeries series)
    {
        Span<long> fine = stackalloc long[LatencyBuckets.Count];
        Span<long> istio = stackalloc long[Bounds.Istio.Length + 1];
        series.Latency.Read(fine);
        Bounds.Coarsen(fine, istio);
        text.Histogram(name, series.Text, Bounds.IstioText, istio, series.Latency.Sum / traffic.Bounds.TicksPerMillisecond);
    }

    private void WriteOwn(PrometheusText text)
    {
        Number("mesh_sidecar_traffic_series", "Series of traffic metrics held.", "gauge", traffic.Requests.All.Count + traffic.Tcp.All.Count);
        foreach (var counter in own.Counters) Number(counter.Name, counter.Help, "counter", counter.Value);
        foreach (var family in own.Families) WriteFamily(text, family);
        foreach (var gauge in own.Gauges) Number(gauge.Name, gauge.Help, "gauge", gauge.Value);
        foreach (var (name, help, grows, read) in own.Observed) Number(name, help, grows ? "counter" : "gauge", read());

        void Number(string name, string help, string type, double value)
        {
            text.Family(name, type, help);
            text.Sample(name, value);
        }
    }

    private static void WriteFamily(PrometheusText text, CounterFamily family)
    {
        text.Family(family.Name, "counter", family.Help);
        foreach (var member in family.Members) text.Sample(family.Name, member.Text, member.Count.Value);
    }

    private static void WriteProcess(PrometheusText text)
    {
        using var process = Process.GetCurrentProcess();
        Number("process_resident_memory_bytes", "gauge", "Resident memory.", process.WorkingSet64);
        Number("process_cpu_seconds_total", "counter", "CPU time used.", process.TotalProcessorTime.TotalSeconds);
        Number("process_start_time_seconds", "gauge", "Start, in seconds since 1970.",
            (process.StartTime.ToUniversalTime() - DateTime.UnixEpoch).TotalSeconds);
        Number("process_threads", "gauge", "Threads.", process.Threads.Count);
        Number("mesh_sidecar_heap_bytes", "gauge", "Size of the managed heap.", GC.GetTotalMemory(forceFullCollection: false));
        Number("mesh_sidecar_gc_total", "counter", "Garbage collections.", GC.CollectionCount(0));

        void Number(string name, string type, string help, double value)
        {
            text.Family(name, type, help);
            text.Sample(name, value);
        }
    }
}
