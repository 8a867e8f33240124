using Mesh.Api.Telemetry;

namespace Mesh.Sidecar.Telemetry;

/// <summary>One combination of labels with what was counted for it. Thread safe; lives until it is idle and room is needed.</summary>
internal abstract class Series(SeriesKey key)
{
    private KeyValuePair<string, object?>[]? tags;
    private byte[]? text;

    /// <summary>Its labels.</summary>
    public SeriesKey Key => key;

    /// <summary>Something that changes with each use: total of events.</summary>
    public abstract long Activity { get; }

    /// <summary><see cref="Activity"/> when the sweep looked last; the sweep's own.</summary>
    internal long SeenActivity { get; set; } = -1;

    /// <summary>When the sweep last saw <see cref="Activity"/> change; the sweep's own.</summary>
    internal DateTimeOffset LastActive { get; set; }

    /// <summary>Labels for System.Diagnostics.Metrics, made on first use.</summary>
    public KeyValuePair<string, object?>[] Tags => tags ??= [.. SeriesLabels.Of(key).Select(l => new KeyValuePair<string, object?>(l.Name, l.Value))];

    /// <summary>Labels as Prometheus text, made on first use.</summary>
    public ReadOnlySpan<byte> Text => text ??= PrometheusText.Labels(SeriesLabels.Of(key));
}

/// <summary>Requests with the same labels. The count of requests is the count of latencies.</summary>
internal sealed class RequestSeries(SeriesKey key, Bounds bounds) : Series(key)
{
    /// <summary>Latencies in timestamp ticks.</summary>
    public HistogramCells Latency { get; } = new(bounds.Latency);

    /// <summary>Body bytes from the client.</summary>
    public HistogramCells RequestBytes { get; } = new(Bounds.Bytes);

    /// <summary>Body bytes to the client.</summary>
    public HistogramCells ResponseBytes { get; } = new(Bounds.Bytes);

    /// <inheritdoc/>
    public override long Activity => Latency.Count();
}

/// <summary>TCP connections with the same labels.</summary>
internal sealed class TcpSeries(SeriesKey key) : Series(key)
{
    private long opened;
    private long closed;
    private long received;
    private long sent;

    /// <summary>Connections opened.</summary>
    public long Opened => Volatile.Read(ref opened);

    /// <summary>Connections closed.</summary>
    public long Closed => Volatile.Read(ref closed);

    /// <summary>Bytes from clients.</summary>
    public long Received => Volatile.Read(ref received);

    /// <summary>Bytes to clients.</summary>
    public long Sent => Volatile.Read(ref sent);

    /// <inheritdoc/>
    public override long Activity => Opened + Closed + Received + Sent;

    /// <summary>Counts an opened connection.</summary>
    public void Open() => Interlocked.Increment(ref opened);

    /// <summary>Counts a closed connection.</summary>
    public void Close() => Interlocked.Increment(ref closed);

    /// <summary>Counts bytes.</summary>
    public void Bytes(long fromClient, long toClient)
    {
        if (fromClient != 0) Interlocked.Add(ref received, fromClient);
        if (toClient != 0) Interlocked.Add(ref sent, toClient);
    }
}
