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
}
