using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;

namespace Mesh.Sidecar;

/// <summary>The address by which others reach this machine (or network namespace). Stateless; asks the kernel, sends nothing.</summary>
internal static class MachineAddress
{
    // Documentation addresses (RFC 5737, RFC 3849): routed like any other, and nobody's.
    private static readonly IPEndPoint[] Anywhere = [new(IPAddress.Parse("192.0.2.1"), 9), new(IPAddress.Parse("2001:db8::1"), 9)];

    /// <summary>The address that packets into the world leave from, IPv4 before IPv6; without such a route the first one of an interface that is up. Null when there is none.</summary>
    public static IPAddress? Find()
    {
        foreach (var target in Anywhere)
        {
            if (SourceTowards(target) is { } source) return source;
        }

        return All().FirstOrDefault();
    }

    /// <summary>The same of one family.</summary>
    public static IPAddress? Find(AddressFamily family) =>
        SourceTowards(Anywhere.First(target => target.AddressFamily == family)) ?? All().FirstOrDefault(address => address.AddressFamily == family);

    /// <summary>The addresses of all interfaces that are up, IPv4 before IPv6, without those that mean something on one link or this machine only.</summary>
    public static IReadOnlyCollection<IPAddress> All()
    {
        try
        {
            return [.. NetworkInterface.GetAllNetworkInterfaces()
                .Where(card => card.OperationalStatus != OperationalStatus.Down && card.NetworkInterfaceType != NetworkInterfaceType.Loopback)
                .SelectMany(card => card.GetIPProperties().UnicastAddresses).Select(unicast => unicast.Address)
                .Where(address => !IPAddress.IsLoopback(address) && !address.IsIPv6LinkLocal && !address.IsIPv6Multicast)
                .Distinct().OrderBy(address => address.AddressFamily == AddressFamily.InterNetworkV6)];
        }
        catch (NetworkInformationException)
        {
            return [];
        }
    }

    // A datagram socket that is connected has chosen its source address, and nothing was sent.
    private static IPAddress? SourceTowards(IPEndPoint target)
    {
        try
        {
            using var socket = new Socket(target.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
            socket.Connect(target);
            return socket.LocalEndPoint is IPEndPoint local && !IPAddress.IsLoopback(local.Address) ? local.Address : null;
        }
        catch (SocketException)
        {
            return null;
        }
    }
}
