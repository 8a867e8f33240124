using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using System.Text;

namespace Mesh.ControlPlane.Admin.Metrics;

/// <summary>What Prometheus calls a metric: all series of the instruments of one name. Thread safe; the number of series is bounded.</summary>
internal sealed class MetricFamily
{
    /// <summary>Series beyond this are counted as one with the label <c>overflow</c>.</summary>
    public const int MostSeries = 1000;

    private static readonly double[] DefaultBounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
    private readonly ConcurrentDictionary<string, MetricSeries> series = new(StringComparer.Ordinal);

    /// <summary>A family shaped by the first instrument of its name.</summary>
    public MetricFamily(Instrument instrument, string type)
    {
        (Name, Type, Help) = (instrument.Name, type, instrument.Description ?? instrument.Name);
        if (type == "histogram") Bounds = (instrument as Histogram<double>)?.Advice?.HistogramBucketBoundaries?.ToArray() ?? DefaultBounds;
    }

    /// <summary>Name on the page.</summary>
    public string Name { get; }

    /// <summary>counter, gauge or histogram.</summary>
    public string Type { get; }

    /// <summary>One line for people.</summary>
    public string Help { get; }

    /// <summary>Bucket bounds of a histogram, else null.</summary>
    public double[]? Bounds { get; }

    /// <summary>The series, by the text of their labels, in order.</summary>
    public IEnumerable<(string Labels, MetricSeries Series)> Series =>
        series.OrderBy(s => s.Key, StringComparer.Ordinal).Select(s => (s.Key, s.Value));

    /// <summary>The series of these labels.</summary>
    public MetricSeries Of(ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        var labels = Text(tags);
        if (series.TryGetValue(labels, out var known)) return known;
        if (series.Count >= MostSeries) labels = "overflow=\"true\"";
        return series.GetOrAdd(labels, _ => new MetricSeries(Bounds));
    }

    private static string Text(ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        if (tags.IsEmpty) return "";
        var text = new StringBuilder();
        foreach (var (key, value) in tags)
        {
            if (text.Length > 0) text.Append(',');
            text.Append(key).Append("=\"");
            text.Append((value?.ToString() ?? "").Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal).Replace("\n", "\\n", StringComparison.Ordinal));
            text.Append('"');
        }

        return text.ToString();
    }
}
