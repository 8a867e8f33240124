using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Listening;

/// <summary>
/// Bounds the connections that are open at once, so that descriptors are left for upstreams. Each direction has its own bound: whoever floods
/// the inbound ports from afar takes nothing from what the application calls. Immutable.
/// </summary>
internal sealed class ConnectionLimits
{
    private readonly ConnectionLimit inbound;
    private readonly ConnectionLimit outbound;

    /// <summary>For each direction that many.</summary>
    public ConnectionLimits(int most) => (inbound, outbound) = (new(most), new(most));

    /// <summary>The bounds for this process: what is wanted, but at most a fifth of the descriptors it may have; a connection takes two.</summary>
    public static ConnectionLimits For(int wanted) => new(Math.Min(wanted, Math.Max(16, Descriptors() / 5)));

    /// <summary>The bound of a direction.</summary>
    public ConnectionLimit Of(Direction direction) => direction == Direction.Inbound ? inbound : outbound;

    private static int Descriptors()
    {
        const int Usual = 65536;
        try
        {
            // "Max open files            1024                 524288               files"; the runtime has raised the first to the second.
            var line = File.ReadLines("/proc/self/limits").FirstOrDefault(l => l.StartsWith("Max open files", StringComparison.Ordinal));
            var columns = line?.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            return columns is { Length: > 3 } && int.TryParse(columns[3], out var soft) ? soft : Usual;
        }
        catch (IOException)
        {
            return Usual;
        }
    }
}

/// <summary>Bounds the connections of one direction. Thread safe.</summary>
internal sealed class ConnectionLimit(int most)
{
    private int open;

    /// <summary>True when one more may be open; each that entered must leave.</summary>
    public bool TryEnter()
    {
        if (Interlocked.Increment(ref open) <= most) return true;
        Interlocked.Decrement(ref open);
        return false;
    }

    /// <summary>One has ended.</summary>
    public void Leave() => Interlocked.Decrement(ref open);
}
