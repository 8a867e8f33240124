using Mesh.Api.Telemetry;

namespace Mesh.ControlPlane.Admin.Traffic;

/// <summary>Traffic added up over a window and perhaps over edges. Used by one request of the operators' API.</summary>
internal sealed class TrafficSum
{
    /// <summary>Requests.</summary>
    public ulong Requests { get; set; }

    /// <summary>Requests that failed.</summary>
    public ulong Failures { get; set; }

    /// <summary>TCP connections open now.</summary>
    public long Open { get; set; }

    /// <summary>Requests by latency, see <see cref="LatencyBuckets"/>.</summary>
    public ulong[] Counts { get; } = new ulong[LatencyBuckets.Count];

    /// <summary>True when there is nothing to show.</summary>
    public bool IsEmpty => Requests == 0 && Open == 0;

    /// <summary>As operators see it.</summary>
    public Api.Operators.Traffic ToTraffic(int seconds) => new()
    {
        Rps = Requests / (double)seconds,
        SuccessRate = Requests == 0 ? null : (Requests - Math.Min(Failures, Requests)) / (double)Requests,
        P50 = LatencyBuckets.Quantile(Counts, 0.5),
        P95 = LatencyBuckets.Quantile(Counts, 0.95),
        P99 = LatencyBuckets.Quantile(Counts, 0.99),
        TcpConnections = Open,
        Requests = (long)Requests,
        Failures = (long)Failures,
    };
}
