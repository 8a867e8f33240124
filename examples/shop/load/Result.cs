using System.Globalization;
using System.Text.Json.Nodes;

namespace Shop.Load;

/// <summary>How a load went. Immutable.</summary>
internal sealed record Result(
    double[] Latencies, IReadOnlyDictionary<string, int> FailuresByReason, IReadOnlyDictionary<string, int> Tally, double Seconds)
{
    public int Failures => FailuresByReason.Values.Sum();

    public string ToJson() => new JsonObject
    {
        ["requests"] = Latencies.Length,
        ["failures"] = Failures,
        ["rps"] = Math.Round(Latencies.Length / Seconds, 1),
        ["p50_ms"] = Math.Round(Quantile(0.5), 2),
        ["p95_ms"] = Math.Round(Quantile(0.95), 2),
        ["p99_ms"] = Math.Round(Quantile(0.99), 2),
        ["max_ms"] = Math.Round(Quantile(1), 2),
        ["tally"] = Object(Tally),
        ["reasons"] = Object(FailuresByReason),
    }.ToJsonString();

    public override string ToString() => string.Create(CultureInfo.InvariantCulture,
        $"""
        {Latencies.Length} requests in {Seconds:0.0} s, {Failures} failed
        latency p50 {Quantile(0.5):0.00} ms, p95 {Quantile(0.95):0.00} ms, p99 {Quantile(0.99):0.00} ms, max {Quantile(1):0.00} ms{Lines(Tally)}{Lines(FailuresByReason)}
        """);

    private double Quantile(double q) => Latencies.Length == 0 ? 0 : Latencies[Math.Min(Latencies.Length - 1, (int)(q * Latencies.Length))];

    private static string Lines(IReadOnlyDictionary<string, int> counts) =>
        string.Concat(counts.OrderByDescending(c => c.Value).Select(c => $"\n{c.Value,8} {c.Key}"));

    private static JsonObject Object(IReadOnlyDictionary<string, int> counts) =>
        new(counts.OrderBy(c => c.Key, StringComparer.Ordinal).Select(c => KeyValuePair.Create(c.Key, (JsonNode?)c.Value)));
}
