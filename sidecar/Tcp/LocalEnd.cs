using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace Mesh.Sidecar.Tcp;

/// <summary>
/// Our end of a connection that is still being made: the kernel chooses it when connecting begins, the runtime tells it when that has ended.
/// Stateless.
/// </summary>
internal static class LocalEnd
{
    private const int SizeV4 = 16; // sockaddr_in
    private const int SizeV6 = 28; // sockaddr_in6

    /// <summary>The address and port of a socket; null where the kernel does not say.</summary>
    public static IPEndPoint? Of(Socket socket)
    {
        var raw = new byte[SizeV6];
        var size = raw.Length;
        try
        {
            if (GetName(socket.SafeHandle, raw, ref size) != 0) return null;
        }
        catch (ObjectDisposedException)
        {
            return null;
        }

        // The port in the network's order; behind it the address, with IPv6 behind its flow label.
        var port = BinaryPrimitives.ReadUInt16BigEndian(raw.AsSpan(2));
        return size switch
        {
            SizeV4 => new IPEndPoint(new IPAddress(raw.AsSpan(4, 4)), port),
            SizeV6 => new IPEndPoint(new IPAddress(raw.AsSpan(8, 16)), port),
            _ => null,
        };
    }

    [DllImport("libc", EntryPoint = "getsockname")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int GetName(SafeHandle socket, byte[] address, ref int size);
}
