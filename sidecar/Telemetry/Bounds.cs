using System.Globalization;
using Mesh.Api.Telemetry;

namespace Mesh.Sidecar.Telemetry;

/// <summary>
/// Histogram bounds: Istio's, and the finer ones latencies are kept in (a superset of Istio's, so one histogram serves
/// Prometheus and the edge reports). Immutable.
/// </summary>
internal sealed class Bounds
{
    /// <summary>Istio's upper bounds, the same for milliseconds and bytes.</summary>
    public static readonly double[] Istio =
        [0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000];

    /// <summary><see cref="Istio"/> as Prometheus writes them.</summary>
    public static readonly string[] IstioText = Array.ConvertAll(Istio, bound => bound.ToString("R", CultureInfo.InvariantCulture));

    /// <summary><see cref="Istio"/> for whole bytes.</summary>
    public static readonly long[] Bytes = Array.ConvertAll(Istio, bound => (long)Math.Floor(bound));

    private static readonly int[] CoarseOf = MapLatencyToIstio();

    /// <summary>Bounds of latencies for a clock that ticks <paramref name="frequency"/> times a second.</summary>
    public Bounds(long frequency)
    {
        TicksPerMillisecond = frequency / 1000.0;
        Latency = new long[LatencyBuckets.UpperBounds.Length];
        for (var i = 0; i < Latency.Length; i++) Latency[i] = (long)Math.Floor(LatencyBuckets.UpperBounds[i] * TicksPerMillisecond);
    }

    /// <summary>Timestamp ticks in a millisecond.</summary>
    public double TicksPerMillisecond { get; }

    /// <summary>Upper bounds of latencies in timestamp ticks.</summary>
    public long[] Latency { get; }

    /// <summary>Adds up the fine latency cells to Istio's buckets.</summary>
    public static void Coarsen(ReadOnlySpan<long> fine, Span<long> istio)
    {
        istio.Clear();
        for (var i = 0; i < fine.Length; i++) istio[CoarseOf[i]] += fine[i];
    }

    private static int[] MapLatencyToIstio()
    {
        var map = new int[LatencyBuckets.Count];
        for (var i = 0; i < map.Length; i++)
        {
            var upper = i < LatencyBuckets.UpperBounds.Length ? LatencyBuckets.UpperBounds[i] : double.PositiveInfinity;
            var index = Array.FindIndex(Istio, bound => upper <= bound);
            map[i] = index < 0 ? Istio.Length : index;
        }

        return map;
    }
}
