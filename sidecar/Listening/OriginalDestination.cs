using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Listening;

/// <summary>
/// Where a captured connection was meant to go. REDIRECT rewrites that and the kernel remembers it (SO_ORIGINAL_DST); TPROXY leaves it as our
/// end of the connection. Stateless.
/// </summary>
internal static class OriginalDestination
{
    private const int LevelV4 = 0; // SOL_IP
    private const int LevelV6 = 41; // SOL_IPV6
    private const int Option = 80; // SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST
    private const int SizeV4 = 16; // sockaddr_in
    private const int SizeV6 = 28; // sockaddr_in6

    /// <summary>
    /// The destination of a connection that was captured; null for one that was made to the listener's own port, which nobody redirected.
    /// </summary>
    public static IPEndPoint? Of(Socket accepted, Listener listener)
    {
        if (!listener.IsCaptured && !listener.IsTransparent) return null;
        if (accepted.LocalEndPoint is not IPEndPoint local) return null;
        local = Unmapped(local);
        var meant = listener.IsTransparent && local.Port != listener.Address.Port ? local : Remembered(accepted, local.AddressFamily);
        return meant is null || meant.Equals(local) && local.Port == listener.Address.Port ? null : meant;
    }

    /// <summary>An address as its own family writes it, also where a socket serves both.</summary>
    public static IPEndPoint Unmapped(IPEndPoint endpoint) =>
        endpoint.Address.IsIPv4MappedToIPv6 ? new IPEndPoint(endpoint.Address.MapToIPv4(), endpoint.Port) : endpoint;

    private static IPEndPoint? Remembered(Socket accepted, AddressFamily family)
    {
        Span<byte> raw = stackalloc byte[SizeV6];
        var isV4 = family == AddressFamily.InterNetwork;
        try
        {
            var size = accepted.GetRawSocketOption(isV4 ? LevelV4 : LevelV6, Option, raw[..(isV4 ? SizeV4 : SizeV6)]);
            return Read(raw[..size]);
        }
        catch (SocketException)
        {
            // Nobody follows the connection (ENOENT), or the kernel cannot (ENOPROTOOPT): then nobody redirected it either.
            return null;
        }
    }

    /// <summary>Reads a sockaddr: family in the machine's order, port in the network's.</summary>
    private static IPEndPoint? Read(ReadOnlySpan<byte> raw)
    {
        if (raw.Length < SizeV4) return null;
        var port = BinaryPrimitives.ReadUInt16BigEndian(raw[2..]);
        if (raw.Length < SizeV6) return new IPEndPoint(new IPAddress(raw.Slice(4, 4)), port);
        var scope = BitConverter.ToUInt32(raw[24..]);
        return Unmapped(new IPEndPoint(new IPAddress(raw.Slice(8, 16), scope), port));
    }
}
