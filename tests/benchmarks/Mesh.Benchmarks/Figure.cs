using System.Globalization;
using System.Text.Json;

namespace Mesh.Benchmarks;

/// <summary>One measured value of Mesh beside the same value of a peer from the same run.</summary>
internal sealed record Figure(string Bench, string Peer, string Metric, double Value, double? PeerValue)
{
    public double? Ratio => PeerValue is { } p && p > 0 ? Value / p : null;

    public string ToJson() => JsonSerializer.Serialize(new
    {
        bench = Bench,
        subject = "mesh",
        peer = Peer,
        metric = Metric,
        value = Math.Round(Value, 3),
        ratio = Ratio is { } r ? Math.Round(r, 3) : (double?)null,
    });

    public string ToRow() => string.Create(
        CultureInfo.InvariantCulture,
        $"{Bench,-10} {Metric,-40} mesh {Value,10:F2}   {Peer,-8} {PeerValue,10:F2}   ratio {Ratio,6:F2}");

    /// <summary>The figures as tables for docs/benchmarks.md: a table for each bench, a row for each metric, a column for each peer.</summary>
    public static IEnumerable<string> ToMarkdown(IReadOnlyList<Figure> figures)
    {
        foreach (var bench in figures.GroupBy(f => f.Bench))
        {
            var peers = bench.Select(f => f.Peer).Distinct().ToList();
            yield return $"| {bench.Key} | Mesh | {string.Join(" | ", peers.Select(p => $"{p} | ratio"))} |";
            yield return $"|---|---|{string.Concat(peers.Select(_ => "---|---|"))}";
            foreach (var row in bench.GroupBy(f => f.Metric))
            {
                var cells = peers.Select(p => row.FirstOrDefault(f => f.Peer == p) is { PeerValue: { } value } f ? $"{Number(value)} | {f.Ratio:F2}" : " | ");
                yield return string.Create(CultureInfo.InvariantCulture, $"| {row.Key} | {Number(row.First().Value)} | {string.Join(" | ", cells)} |");
            }

            yield return "";
        }
    }

    private static string Number(double value) => value.ToString(Math.Abs(value) < 100 ? "F1" : "N0", CultureInfo.InvariantCulture);
}
