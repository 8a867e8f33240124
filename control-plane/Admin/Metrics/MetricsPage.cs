using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using System.Globalization;
using System.Text;

namespace Mesh.ControlPlane.Admin.Metrics;

/// <summary>
/// Listens to the instruments of one meter name and writes them as a Prometheus text page. Thread safe; lives as long as the program.
/// Instruments carry their Prometheus names, unit suffix and <c>_total</c> included.
/// </summary>
internal sealed class MetricsPage : IDisposable
{
    /// <summary>Content type of the page.</summary>
    public const string ContentType = "text/plain; version=0.0.4; charset=utf-8";

    private readonly ConcurrentDictionary<string, MetricFamily> families = new(StringComparer.Ordinal);
    private readonly MeterListener listener = new();
    private readonly Lock scrape = new();

    /// <summary>Listens to meters of this name, those made later too.</summary>
    public MetricsPage(string meter)
    {
        listener.InstrumentPublished = (instrument, self) =>
        {
            if (instrument.Meter.Name != meter) return;
            var family = families.GetOrAdd(instrument.Name, _ => new MetricFamily(instrument, TypeOf(instrument)));
            self.EnableMeasurementEvents(instrument, family);
        };
        listener.SetMeasurementEventCallback<int>((i, v, t, f) => Take(i, v, t, f));
        listener.SetMeasurementEventCallback<long>((i, v, t, f) => Take(i, v, t, f));
        listener.SetMeasurementEventCallback<double>((i, v, t, f) => Take(i, v, t, f));
        listener.Start();
    }

    /// <summary>The page as of now.</summary>
    public string Write()
    {
        lock (scrape) listener.RecordObservableInstruments();
        var page = new StringBuilder(4096);
        foreach (var family in families.Values.OrderBy(f => f.Name, StringComparer.Ordinal)) Write(page, family);
        return page.ToString();
    }

    /// <inheritdoc/>
    public void Dispose() => listener.Dispose();

    private static void Write(StringBuilder page, MetricFamily family)
    {
        var all = family.Series.ToList();
        if (all.Count == 0) return;
        page.Append("# HELP ").Append(family.Name).Append(' ').Append(family.Help.Replace('\n', ' ')).Append('\n');
        page.Append("# TYPE ").Append(family.Name).Append(' ').Append(family.Type).Append('\n');
        foreach (var (labels, series) in all)
        {
            var (value, cumulative) = series.Read();
            if (family.Bounds is not { } bounds)
            {
                Line(page, family.Name, labels, value);
                continue;
            }

            var comma = labels.Length > 0 ? "," : "";
            for (var i = 0; i < cumulative.Length; i++)
            {
                var bound = i < bounds.Length ? bounds[i].ToString(CultureInfo.InvariantCulture) : "+Inf";
                Line(page, family.Name + "_bucket", $"{labels}{comma}le=\"{bound}\"", cumulative[i]);
            }

            Line(page, family.Name + "_sum", labels, value);
            Line(page, family.Name + "_count", labels, cumulative[^1]);
        }
    }

    private static void Line(StringBuilder page, string name, string labels, double value)
    {
        page.Append(name);
        if (labels.Length > 0) page.Append('{').Append(labels).Append('}');
        page.Append(' ').Append(value.ToString(CultureInfo.InvariantCulture)).Append('\n');
    }

    private static void Take(Instrument instrument, double value, ReadOnlySpan<KeyValuePair<string, object?>> tags, object? state)
    {
        var series = ((MetricFamily)state!).Of(tags);
        if (TypeOf(instrument) == "histogram") series.Record(value);
        else if (instrument.IsObservable || Generic(instrument) == typeof(Gauge<>)) series.Set(value);
        else series.Add(value);
    }

    private static string TypeOf(Instrument instrument) => Generic(instrument) switch
    {
        var t when t == typeof(Histogram<>) => "histogram",
        var t when t == typeof(Counter<>) || t == typeof(ObservableCounter<>) => "counter",
        _ => "gauge",
    };

    private static Type? Generic(Instrument instrument) => instrument.GetType() is { IsGenericType: true } type ? type.GetGenericTypeDefinition() : null;
}
