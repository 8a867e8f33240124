using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Dns;

/// <summary>
/// Whether this machine has a route to an IPv6 address: a program that gets an address it cannot reach loses time on it, or fails. The kernel is asked by
/// connecting a datagram socket, which sends nothing, and its answer holds a few seconds: for all of a range of virtual addresses, which has one route, else for
/// the network around. Thread safe; bounded.
/// </summary>
internal sealed class Ipv6Routes(TimeProvider time)
{
    private const int MostKept = 256;
    private const int SocketLevel = 1; // SOL_SOCKET
    private const int BindToDevice = 25; // SO_BINDTODEVICE
    private static readonly TimeSpan Keep = TimeSpan.FromSeconds(5);

    private readonly ConcurrentDictionary<ulong, (bool Routed, long At)> known = new();

    /// <summary>True when packets to the address (16 bytes) go somewhere.</summary>
    public bool Lead(ReadOnlySpan<byte> address, MeshRanges? ranges)
    {
        var range = ranges?.RangeOf(Destination.Of(address, 0));
        var isVirtual = range?.Kind == RangeKind.Virtual;
        var network = isVirtual ? range!.Prefix.Address.High : BinaryPrimitives.ReadUInt64BigEndian(address);
        var now = time.GetTimestamp();
        if (known.TryGetValue(network, out var kept) && time.GetElapsedTime(kept.At, now) < Keep) return kept.Routed;
        if (known.Count >= MostKept) known.Clear();
        var routed = Ask(new IPEndPoint(new IPAddress(address), 53), isVirtual);
        known[network] = (routed, now);
        return routed;
    }

    /// <summary>Virtual addresses have a route of their own by the loopback device: any other leads out, to nobody.</summary>
    private static bool Ask(IPEndPoint endpoint, bool byLoopback)
    {
        try
        {
            using var socket = new Socket(AddressFamily.InterNetworkV6, SocketType.Dgram, ProtocolType.Udp);
            if (byLoopback) socket.SetRawSocketOption(SocketLevel, BindToDevice, "lo\0"u8);
            socket.Connect(endpoint);
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}
