namespace Mesh.Sidecar.Telemetry;

/// <summary>
/// A histogram over plain atomics. Values are whole numbers (bytes, timestamp ticks) and the bounds are given in the same unit, so
/// recording does no arithmetic but a search. Any number of writers and readers; two atomic adds a value.
/// </summary>
internal sealed class HistogramCells(long[] bounds)
{
    private readonly long[] counts = new long[bounds.Length + 1];
    private long sum;

    /// <summary>Number of cells, the unbounded last one included.</summary>
    public int Length => counts.Length;

    /// <summary>Sum of all values, in the unit of the bounds.</summary>
    public long Sum => Volatile.Read(ref sum);

    /// <summary>Adds a value.</summary>
    public void Record(long value)
    {
        var low = 0;
        var high = bounds.Length;
        while (low < high)
        {
            var middle = (low + high) >> 1;
            if (value > bounds[middle]) low = middle + 1;
            else high = middle;
        }

        Interlocked.Increment(ref counts[low]);
        Interlocked.Add(ref sum, value);
    }

    /// <summary>Copies the counts, one per cell and not cumulative; returns their total.</summary>
    public long Read(Span<long> into)
    {
        long total = 0;
        for (var i = 0; i < counts.Length; i++) total += into[i] = Volatile.Read(ref counts[i]);
        return total;
    }

    /// <summary>Number of values.</summary>
    public long Count()
    {
        long total = 0;
        for (var i = 0; i < counts.Length; i++) total += Volatile.Read(ref counts[i]);
        return total;
    }
}
