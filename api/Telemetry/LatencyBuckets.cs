namespace Mesh.Api.Telemetry;

/// <summary>
/// The latency histogram that sidecars report and the control plane reads: log-linear from 50 microseconds up, and a
/// superset of Istio's bounds, so the Prometheus histogram can be derived from it. Stateless; safe from any thread.
/// </summary>
public static class LatencyBuckets
{
    private static readonly double[] Steps = [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8];
    private static readonly double[] Bounds = MakeBounds();

    /// <summary>Inclusive upper bounds in milliseconds, ascending. One more bucket follows for everything above the last.</summary>
    public static ReadOnlySpan<double> UpperBounds => Bounds;

    /// <summary>How many buckets there are, the unbounded last one included.</summary>
    public static int Count => Bounds.Length + 1;

    /// <summary>The bucket a latency falls into.</summary>
    public static int IndexOf(double milliseconds)
    {
        var index = Array.BinarySearch(Bounds, milliseconds);
        return index >= 0 ? index : ~index;
    }

    /// <summary>
    /// The latency below which the share <paramref name="quantile"/> (0 to 1) of the counted requests lies, interpolated
    /// inside its bucket; null when nothing was counted. Requests in the last bucket are taken to lie at its lower bound.
    /// </summary>
    public static double? Quantile(ReadOnlySpan<ulong> counts, double quantile)
    {
        ulong total = 0;
        foreach (var count in counts)
            total += count;
        if (total == 0)
            return null;

        var rank = Math.Clamp(quantile, 0, 1) * total;
        double below = 0;
        for (var i = 0; i < Math.Min(counts.Length, Bounds.Length); i++)
        {
            if (counts[i] > 0 && below + counts[i] >= rank)
            {
                var lower = i == 0 ? 0 : Bounds[i - 1];
                return lower + ((Bounds[i] - lower) * (rank - below) / counts[i]);
            }

            below += counts[i];
        }

        return Bounds[^1];
    }

    private static double[] MakeBounds()
    {
        List<double> bounds = [0.05, 0.06, 0.08];
        foreach (var decade in (ReadOnlySpan<double>)[0.1, 1, 10, 100, 1_000, 10_000])
        {
            // Multiplying tenths would leave 0.30000000000000004; dividing by ten does not.
            foreach (var step in Steps)
                bounds.Add(decade < 1 ? step / 10 : step * decade);
        }

        bounds.AddRange([100_000, 300_000, 600_000, 1_800_000, 3_600_000]);
        return [.. bounds];
    }
}
