using System.Buffers;
using System.Buffers.Text;
using System.Globalization;
using System.Text;

namespace Mesh.Api.Telemetry;

/// <summary>
/// Writes Prometheus text exposition (0.0.4) into a buffer: pure text, no policy. Not thread safe; one instance for one answer.
/// A family is begun with <see cref="Family"/>; all its samples follow before the next one.
/// </summary>
public sealed class PrometheusText(IBufferWriter<byte> output)
{
    /// <summary>Content type of the text.</summary>
    public const string ContentType = "text/plain; version=0.0.4; charset=utf-8";

    /// <summary>Begins a family. <paramref name="type"/>: counter, gauge or histogram.</summary>
    public void Family(string name, string type, string help)
    {
        Text("# HELP ");
        Text(name);
        Text(" ");
        Text(Escape(help, quotes: false));
        Text("\n# TYPE ");
        Text(name);
        Text(" ");
        Text(type);
        Text("\n");
    }

    /// <summary>One sample. <paramref name="labels"/> come from <see cref="Labels"/>; empty for none.</summary>
    public void Sample(string name, ReadOnlySpan<byte> labels, double value)
    {
        Text(name);
        Braces(labels, le: null);
        Number(value);
        Text("\n");
    }

    /// <inheritdoc cref="Sample(string, ReadOnlySpan{byte}, double)"/>
    public void Sample(string name, double value) => Sample(name, default, value);

    /// <summary>
    /// The samples of one histogram. <paramref name="counts"/> are per bucket, not cumulative, with one more than
    /// <paramref name="upperBounds"/> for what lies above the last bound.
    /// </summary>
    public void Histogram(string name, ReadOnlySpan<byte> labels, ReadOnlySpan<string> upperBounds, ReadOnlySpan<long> counts, double sum)
    {
        long total = 0;
        for (var i = 0; i < counts.Length; i++)
        {
            total += counts[i];
            Text(name);
            Text("_bucket");
            Braces(labels, i < upperBounds.Length ? upperBounds[i] : "+Inf");
            Number(total);
            Text("\n");
        }

        Text(name);
        Text("_sum");
        Braces(labels, le: null);
        Number(sum);
        Text("\n");
        Text(name);
        Text("_count");
        Braces(labels, le: null);
        Number(total);
        Text("\n");
    }

    /// <summary>Label pairs as text without braces, values escaped.</summary>
    public static byte[] Labels(params ReadOnlySpan<(string Name, string Value)> labels)
    {
        var text = new StringBuilder(64 * labels.Length);
        foreach (var (name, value) in labels)
        {
            if (text.Length > 0) text.Append(',');
            text.Append(name).Append("=\"").Append(Escape(value, quotes: true)).Append('"');
        }

        return Encoding.UTF8.GetBytes(text.ToString());
    }

    private static string Escape(string value, bool quotes)
    {
        if (value.AsSpan().IndexOfAny('\\', '\n', '"') < 0) return value;
        value = value.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\n", "\\n", StringComparison.Ordinal);
        return quotes ? value.Replace("\"", "\\\"", StringComparison.Ordinal) : value;
    }

    private void Braces(ReadOnlySpan<byte> labels, string? le)
    {
        if (labels.Length == 0 && le is null)
        {
            Text(" ");
            return;
        }

        Text("{");
        // Not IBufferWriter.Write: Kestrel's writer may hand out an empty span when no size is asked for.
        labels.CopyTo(output.GetSpan(Math.Max(1, labels.Length)));
        output.Advance(labels.Length);
        if (le is not null)
        {
            Text(labels.Length == 0 ? "le=\"" : ",le=\"");
            Text(le);
            Text("\"");
        }

        Text("} ");
    }

    private void Text(string text)
    {
        var span = output.GetSpan(Encoding.UTF8.GetMaxByteCount(text.Length));
        output.Advance(Encoding.UTF8.GetBytes(text, span));
    }

    private void Number(double value)
    {
        if (double.IsNaN(value) || double.IsInfinity(value))
        {
            Text(double.IsNaN(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf");
            return;
        }

        var span = output.GetSpan(32);
        if (value == Math.Floor(value) && Math.Abs(value) < 1e15)
        {
            Utf8Formatter.TryFormat((long)value, span, out var digits);
            output.Advance(digits);
            return;
        }

        value.TryFormat(span, out var written, "R", CultureInfo.InvariantCulture);
        output.Advance(written);
    }
}
