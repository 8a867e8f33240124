using System.Net;
using System.Net.Sockets;
using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Listening;

/// <summary>
/// Bounds the connections that are open at once, so that descriptors are left for upstreams. Each direction has its own bound: whoever floods
/// the inbound ports from afar takes nothing from what the application calls, and one client there leaves some to the others. Immutable.
/// </summary>
internal sealed class ConnectionLimits
{
    private readonly ConnectionLimit inbound;
    private readonly ConnectionLimit outbound;

    /// <summary>For each direction that many.</summary>
    public ConnectionLimits(int most) => (inbound, outbound) = (new(most, most - Math.Max(1, most / 8)), new(most, most));

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

/// <summary>Bounds the connections of one direction, and those of each client's address (IPv6: of each /64, which is one client's to choose from). Thread safe.</summary>
internal sealed class ConnectionLimit(int most, int mostOfOne)
{
    private const int NetworkBits = 64;
    private readonly Lock gate = new();
    private readonly Dictionary<Destination, int> clients = [];
    private int open;

    /// <summary>How many may be open.</summary>
    public int Most => most;

    /// <summary>How many of one client.</summary>
    public int MostOfOne => mostOfOne;

    /// <summary>Whom a connection counts for.</summary>
    public static Destination ClientOf(EndPoint? remote)
    {
        if (remote is not IPEndPoint { Address: var address }) return default;
        var whole = Destination.Of(address, 0);
        return address.AddressFamily == AddressFamily.InterNetwork || address.IsIPv4MappedToIPv6 ? whole : whole.First(NetworkBits);
    }

    /// <summary>True when one more of a client may be open; each that entered must leave.</summary>
    public bool TryEnter(Destination client)
    {
        lock (gate)
        {
            var own = clients.GetValueOrDefault(client);
            if (open >= most || own >= mostOfOne) return false;
            open++;
            clients[client] = own + 1;
            return true;
        }
    }

    /// <summary>One of a client has ended.</summary>
    public void Leave(Destination client)
    {
        lock (gate)
        {
            open--;
            if (clients[client] > 1) clients[client]--;
            else clients.Remove(client);
        }
    }
}
