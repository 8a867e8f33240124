namespace Mesh.Sidecar.Telemetry;

/// <summary>
/// Where the data path reports what happened. Called once at the end of a request, and at both ends of a TCP connection.
/// Thread safe; never blocks, never throws, allocates nothing once a series exists and the access log is off.
/// </summary>
internal sealed class TelemetrySink(SidecarMetrics own)
{
    /// <summary>The sidecar's numbers about itself: count on them directly.</summary>
    public SidecarMetrics Own => own;

    /// <summary>A request ended. <paramref name="facts"/> may be reused as soon as this returns.</summary>
    public void Request(RequestFacts facts)
    {
        if (facts.Span is not null) Spans.End(facts);
    }

    /// <summary>
    /// A TCP connection reached its upstream. From now on its byte counters are read whenever metrics are,
    /// so a long connection shows up while it lives.
    /// </summary>
    public void TcpOpened(TcpFacts facts)
    {
    }

    /// <summary>A TCP connection ended, or failed before it was opened.</summary>
    public void TcpClosed(TcpFacts facts)
    {
    }
}

/// <summary>Counters of TCP connections with the same labels.</summary>
internal sealed class TcpSeries;
