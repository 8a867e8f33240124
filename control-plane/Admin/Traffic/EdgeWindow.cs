using Mesh.Api.Telemetry;
using Mesh.Api.V1;

namespace Mesh.ControlPlane.Admin.Traffic;

/// <summary>The last minute of one edge, second by second. Not thread safe; <see cref="TrafficWindow"/> guards it.</summary>
internal sealed class EdgeWindow
{
    /// <summary>How many seconds are kept.</summary>
    public const int Seconds = 60;

    // One more than can be asked for: the running second is not complete yet.
    private readonly Second[] ring = new Second[Seconds + 1];

    /// <summary>TCP connections open now.</summary>
    public long Open { get; private set; }

    /// <summary>The second of the last report.</summary>
    public long LastSecond { get; private set; }

    /// <summary>Adds a report that came in this second.</summary>
    public void Add(long second, Edge edge)
    {
        LastSecond = second;
        ref var slot = ref ring[second % ring.Length];
        if (slot.At != second)
        {
            // The counts' array is used again: a busy edge allocates nothing once its minute is full.
            slot.Counts?.AsSpan().Clear();
            slot = new Second { At = second, Counts = slot.Counts };
        }

        slot.Requests += edge.Requests;
        slot.Failures += edge.Failures;
        if (edge.LatencyBuckets.Count == 0) return;
        slot.Counts ??= new ulong[LatencyBuckets.Count];
        for (var i = 0; i < Math.Min(edge.LatencyBuckets.Count, slot.Counts.Length); i++) slot.Counts[i] += edge.LatencyBuckets[i];
    }

    /// <summary>Connections opened less those closed.</summary>
    public void Opened(long more) => Open = Math.Max(0, Open + more);

    /// <summary>Adds the <paramref name="seconds"/> complete seconds before <paramref name="now"/> to a sum.</summary>
    public void AddTo(TrafficSum sum, long now, int seconds)
    {
        sum.Open += Open;
        foreach (ref readonly var slot in ring.AsSpan())
        {
            if (slot.At >= now || slot.At < now - seconds) continue;
            sum.Requests += slot.Requests;
            sum.Failures += slot.Failures;
            if (slot.Counts is null) continue;
            for (var i = 0; i < slot.Counts.Length; i++) sum.Counts[i] += slot.Counts[i];
        }
    }

    private struct Second
    {
        public long At;
        public ulong Requests;
        public ulong Failures;
        public ulong[]? Counts;
    }
}
