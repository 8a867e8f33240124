using System.Globalization;

namespace Mesh.Api.Grpc;

/// <summary>The <c>grpc-timeout</c> header: at most eight digits and a unit. Stateless.</summary>
internal static class GrpcTimeout
{
    /// <summary>Longer timeouts are cut to this: a timer cannot hold more, and no call runs that long.</summary>
    public static readonly TimeSpan Longest = TimeSpan.FromDays(24);

    private const long MaxDigits = 99_999_999;

    /// <summary>The header's value: the finest unit that fits, rounded up so that the server never gives up first.</summary>
    public static string Format(TimeSpan timeout)
    {
        if (timeout <= TimeSpan.Zero)
            return "1n";
        if (timeout > Longest)
            timeout = Longest;

        var (ticksPerUnit, unit) = timeout.Ticks switch
        {
            <= MaxDigits * TimeSpan.TicksPerMicrosecond => (TimeSpan.TicksPerMicrosecond, 'u'),
            <= MaxDigits * TimeSpan.TicksPerMillisecond => (TimeSpan.TicksPerMillisecond, 'm'),
            _ => (TimeSpan.TicksPerSecond, 'S'),
        };
        var amount = (timeout.Ticks + ticksPerUnit - 1) / ticksPerUnit;
        return string.Create(CultureInfo.InvariantCulture, $"{amount}{unit}");
    }

    /// <summary>Reads the header's value; false when it is not one.</summary>
    public static bool TryParse(ReadOnlySpan<char> value, out TimeSpan timeout)
    {
        timeout = default;
        if (value.Length is < 2 or > 9 || !long.TryParse(value[..^1], NumberStyles.None, CultureInfo.InvariantCulture, out var amount))
            return false;

        // In doubles: the longest spellable timeout is eleven thousand years, more ticks than a long holds.
        double? ticks = value[^1] switch
        {
            'H' => amount * (double)TimeSpan.TicksPerHour,
            'M' => amount * (double)TimeSpan.TicksPerMinute,
            'S' => amount * (double)TimeSpan.TicksPerSecond,
            'm' => amount * (double)TimeSpan.TicksPerMillisecond,
            'u' => amount * (double)TimeSpan.TicksPerMicrosecond,
            'n' => amount / (double)TimeSpan.NanosecondsPerTick,
            _ => null,
        };
        if (ticks is not { } known)
            return false;

        timeout = known >= Longest.Ticks ? Longest : TimeSpan.FromTicks((long)Math.Ceiling(known));
        return true;
    }
}
