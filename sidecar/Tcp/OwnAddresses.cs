using System.Net;
using System.Net.Sockets;
using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Tcp;

/// <summary>Tells which destinations would bring traffic back into this sidecar. Pure.</summary>
internal static class OwnAddresses
{
    /// <summary>
    /// True when dialling <paramref name="to"/> would loop: outbound traffic to an outbound listener, inbound traffic to any listener.
    /// (Outbound traffic to an own inbound listener is a workload that calls itself.)
    /// </summary>
    public static bool LeadsBack(Snapshot snapshot, IPEndPoint to, Direction direction)
    {
        foreach (var listener in snapshot.Listeners)
        {
            if (listener is null || listener.Address.Port != to.Port) continue;
            if (direction == Direction.Outbound && listener.Direction == Direction.Inbound) continue;
            if (SameHost(listener.Address.Address, to.Address)) return true;
        }

        return false;
    }

    private static bool SameHost(IPAddress listening, IPAddress dialled)
    {
        if (dialled.IsIPv4MappedToIPv6) dialled = dialled.MapToIPv4();
        // Linux connects the unspecified address to this host.
        if (dialled.Equals(IPAddress.Any)) dialled = IPAddress.Loopback;
        if (dialled.Equals(IPAddress.IPv6Any)) dialled = IPAddress.IPv6Loopback;
        if (listening.Equals(dialled)) return true;
        var everywhere = listening.Equals(IPAddress.IPv6Any) || (listening.Equals(IPAddress.Any) && dialled.AddressFamily == AddressFamily.InterNetwork);
        return everywhere && IsOfThisHost(dialled);
    }

    private static bool IsOfThisHost(IPAddress address)
    {
        if (IPAddress.IsLoopback(address)) return true;
        try
        {
            // Binding tells without a list of interfaces: only an address of this host can be bound.
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
