using System.Collections.Concurrent;
using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;

namespace Mesh.Sidecar.Listening;

/// <summary>
/// Knows which addresses are this host's own. Asked once for each connection, so answers are kept for a few seconds, a bounded number of them.
/// Thread safe; lives as long as the data path.
/// </summary>
internal sealed class LocalAddresses(TimeProvider time)
{
    private const int MostKnown = 1024;
    // Of documentation (RFC 5737, RFC 3849).
    private static readonly IPAddress NobodysV4 = IPAddress.Parse("192.0.2.1");
    private static readonly IPAddress NobodysV6 = IPAddress.Parse("2001:db8::1");
    private static readonly TimeSpan Validity = TimeSpan.FromSeconds(5);
    private readonly ConcurrentDictionary<IPAddress, (bool Ours, long Since)> known = new();

    /// <summary>Whether an address is one of this host.</summary>
    public bool Has(IPAddress address)
    {
        if (IPAddress.IsLoopback(address)) return true;
        var now = time.GetTimestamp();
        if (known.TryGetValue(address, out var last) && time.GetElapsedTime(last.Since, now) < Validity) return last.Ours;
        if (known.Count >= MostKnown) known.Clear();
        var ours = IsOurs(address);
        known[address] = (ours, now);
        return ours;
    }

    /// <summary>
    /// Binding tells without a list of interfaces: only an address of this host can be bound. Where that is true of nobody's address, too
    /// (ip_nonlocal_bind, as machines have it whose addresses move), the list tells.
    /// </summary>
    private static bool IsOurs(IPAddress address)
    {
        if (!CanBind(address)) return false;
        return !CanBind(address.AddressFamily == AddressFamily.InterNetwork ? NobodysV4 : NobodysV6) || IsListed(address);
    }

    private static bool IsListed(IPAddress address)
    {
        try
        {
            return NetworkInterface.GetAllNetworkInterfaces().SelectMany(card => card.GetIPProperties().UnicastAddresses).Any(unicast => unicast.Address.Equals(address));
        }
        catch (NetworkInformationException)
        {
            return false;
        }
    }

    private static bool CanBind(IPAddress address)
    {
        try
        {
            using var probe = new Socket(address.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
            probe.Bind(new IPEndPoint(address, 0));
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}
