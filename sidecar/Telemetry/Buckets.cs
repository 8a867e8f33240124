namespace Mesh.Sidecar.Telemetry;

/// <summary>
/// A histogram with Istio's buckets over plain atomics. Values are whole numbers (bytes, or timestamp ticks); the bounds are given in
/// the same unit, so recording does no arithmetic but a search. Thread safe; one atomic add and one more for the sum.
/// </summary>
internal sealed class Buckets(long[] bounds)
{
    private readonly long[] counts = new long[bounds.Length + 1];
    private long sum;

    /// <summary>Sum of all values, in the unit of the bounds.</summary>
    public long Sum => Volatile.Read(ref sum);

    /// <summary>Adds a value.</summary>
    public void Record(long value)
    {
        var index = 0;
        while (index < bounds.Length && value > bounds[index]) index++;
        Interlocked.Increment(ref counts[index]);
        Interlocked.Add(ref sum, value);
    }

    /// <summary>Copies the counts, one per bucket and not cumulative; returns their total.</summary>
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
        foreach (ref var count in counts.AsSpan()) total += Volatile.Read(ref count);
        return total;
    }
}
