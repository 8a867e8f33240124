using System.Globalization;
using System.Text;

namespace Mesh.ControlPlane.Sources.Registry.Json;

/// <summary>Durations as Consul's API writes them: "10s", "1h30m", "1.5ms"; never a bare number but 0. Stateless.</summary>
internal static class GoDuration
{
    public static bool TryParse(string text, out TimeSpan duration)
    {
        duration = default;
        var rest = text.AsSpan();
        var sign = 1;
        if (rest.Length > 0 && rest[0] is '-' or '+')
        {
            sign = rest[0] == '-' ? -1 : 1;
            rest = rest[1..];
        }

        if (rest is "0") return true;
        if (rest.IsEmpty) return false;
        var ticks = 0m;
        while (!rest.IsEmpty)
        {
            if (!TryTakePart(ref rest, ref ticks)) return false;
        }

        if (ticks > TimeSpan.MaxValue.Ticks) return false;
        duration = new TimeSpan(sign * (long)ticks);
        return true;
    }

    /// <summary>The shortest form in hours, minutes and seconds: 90 s is "1m30s", zero is "0s".</summary>
    public static string Format(TimeSpan duration)
    {
        if (duration == TimeSpan.Zero) return "0s";
        if (duration < TimeSpan.Zero) return "-" + Format(-duration);
        if (duration < TimeSpan.FromMilliseconds(1)) return Number(duration.Ticks / 10m) + "µs";
        if (duration < TimeSpan.FromSeconds(1)) return Number(duration.Ticks / 10_000m) + "ms";
        var text = new StringBuilder();
        var hours = duration.Ticks / TimeSpan.TicksPerHour;
        if (hours > 0) text.Append(CultureInfo.InvariantCulture, $"{hours}h");
        if (duration.Ticks >= TimeSpan.TicksPerMinute) text.Append(CultureInfo.InvariantCulture, $"{duration.Minutes}m");
        return text.Append(Number(duration.Ticks % TimeSpan.TicksPerMinute / 10_000_000m)).Append('s').ToString();
    }

    private static bool TryTakePart(ref ReadOnlySpan<char> rest, ref decimal ticks)
    {
        var digits = rest.IndexOfAnyExcept("0123456789.");
        if (digits <= 0 || !decimal.TryParse(rest[..digits], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var number)) return false;
        rest = rest[digits..];
        var letters = rest.IndexOfAny("0123456789.");
        var unit = letters < 0 ? rest : rest[..letters];
        if (TicksOf(unit) is not { } each || number > 100_000_000_000) return false;
        rest = rest[unit.Length..];
        ticks += number * each;
        return true;
    }

    private static decimal? TicksOf(ReadOnlySpan<char> unit) => unit switch
    {
        "ns" => 0.01m,
        "us" or "µs" or "μs" => 10m,
        "ms" => TimeSpan.TicksPerMillisecond,
        "s" => TimeSpan.TicksPerSecond,
        "m" => TimeSpan.TicksPerMinute,
        "h" => TimeSpan.TicksPerHour,
        _ => null,
    };

    private static string Number(decimal value) => value.ToString("0.#########", CultureInfo.InvariantCulture);
}
