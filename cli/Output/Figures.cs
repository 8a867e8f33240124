using System.Globalization;
using Mesh.Api.Operators;

namespace Mesh.Cli.Output;

/// <summary>How numbers are shown in tables. Stateless.</summary>
internal static class Figures
{
    private const string None = "-";

    public static string Share(double? share) =>
        share is { } s ? (s * 100).ToString("0.00", CultureInfo.InvariantCulture) + "%" : None;

    public static string Rate(double perSecond) => perSecond.ToString("0.0", CultureInfo.InvariantCulture) + "rps";

    public static string Latency(double? milliseconds) => milliseconds switch
    {
        null => None,
        < 1 => milliseconds.Value.ToString("0.00", CultureInfo.InvariantCulture) + "ms",
        < 100 => milliseconds.Value.ToString("0.0", CultureInfo.InvariantCulture) + "ms",
        _ => milliseconds.Value.ToString("0", CultureInfo.InvariantCulture) + "ms",
    };

    public static string Count(long count) => count.ToString(CultureInfo.InvariantCulture);

    /// <summary>Success, rate and the three latencies of a row, dashes where nothing was counted.</summary>
    public static string[] Signals(Traffic? traffic) => traffic is null
        ? [None, None, None, None, None]
        : [Share(traffic.SuccessRate), Rate(traffic.Rps), Latency(traffic.P50), Latency(traffic.P95), Latency(traffic.P99)];

    /// <summary>How long ago something was, as operators say it: 12s, 5m, 3h, 2d.</summary>
    public static string Age(DateTimeOffset since, DateTimeOffset now)
    {
        var age = now - since;
        return age.TotalSeconds < 0 ? "0s"
            : age.TotalSeconds < 120 ? $"{age.TotalSeconds:0}s"
            : age.TotalMinutes < 120 ? $"{age.TotalMinutes:0}m"
            : age.TotalHours < 48 ? $"{age.TotalHours:0}h"
            : $"{age.TotalDays:0}d";
    }
}
