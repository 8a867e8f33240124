namespace Mesh.ControlPlane.Admin.Metrics;

/// <summary>One series of an instrument: a number, or a histogram. Thread safe by its own lock; control-plane events, not requests.</summary>
internal sealed class MetricSeries(double[]? bounds)
{
    private readonly Lock gate = new();
    private readonly long[] counts = bounds is null ? [] : new long[bounds.Length + 1];
    private double value;
    private long total;

    /// <summary>Adds to a counter.</summary>
    public void Add(double amount)
    {
        lock (gate) value += amount;
    }

    /// <summary>Sets a gauge, or a counter that is read from outside.</summary>
    public void Set(double amount)
    {
        lock (gate) value = amount;
    }

    /// <summary>Records into a histogram.</summary>
    public void Record(double amount)
    {
        var index = Array.BinarySearch(bounds!, amount);
        lock (gate)
        {
            counts[index < 0 ? ~index : index]++;
            value += amount;
            total++;
        }
    }

    /// <summary>The number, or the sum of a histogram, with its cumulative counts (the last is of everything).</summary>
    public (double Value, long[] Cumulative) Read()
    {
        lock (gate)
        {
            var cumulative = new long[counts.Length];
            long sum = 0;
            for (var i = 0; i < counts.Length; i++) cumulative[i] = sum += counts[i];
            return (value, cumulative);
        }
    }
}
