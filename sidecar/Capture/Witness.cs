using System.Buffers.Binary;
using System.Net.Sockets;

namespace Mesh.Sidecar.Capture;

/// <summary>
/// Sees what arrives at this machine, after all rules, whether or not a program listens there: a raw socket, which gets copies. So a check proves
/// where a connection went without standing in anybody's place. Made right before the attempt and looked at right after; owned by who makes it, one thread.
/// </summary>
internal sealed class Witness : IDisposable
{
    private const int Ipv4Header = 20;
    private readonly Socket socket;

    private Witness(Socket socket)
    {
        this.socket = socket;
        // Whatever else this machine gets would fill the socket's buffer.
        SocketFilter.Nothing.Attach(socket);
    }

    /// <summary>One for TCP or UDP; null when this process may not have one (CAP_NET_RAW).</summary>
    public static Witness? Watch(AddressFamily family, ProtocolType protocol)
    {
        try
        {
            return new Witness(new Socket(family, SocketType.Raw, protocol));
        }
        catch (SocketException)
        {
            return null;
        }
    }

    /// <summary>From now on it sees what comes from this port, and nothing else.</summary>
    public void Await(int from) => SocketFilter.FromPort(from, hasHeader: socket.AddressFamily == AddressFamily.InterNetwork).Attach(socket);

    /// <summary>
    /// The port at which the first packet from this port arrived; null when none did. Whoever has been answered has arrived before: nothing is waited for.
    /// </summary>
    public int? ArrivedAt(int from)
    {
        var packet = new byte[128];
        while (socket.Poll(TimeSpan.Zero, SelectMode.SelectRead))
        {
            int length;
            try
            {
                length = socket.Receive(packet, SocketFlags.None);
            }
            catch (SocketException e) when (e.SocketErrorCode == SocketError.MessageSize)
            {
                length = packet.Length;
            }

            // IPv4 comes with its header, IPv6 without.
            var at = socket.AddressFamily == AddressFamily.InterNetworkV6 ? 0 : Math.Max(Ipv4Header, (packet[0] & 0xf) * 4);
            if (length < at + 4 || BinaryPrimitives.ReadUInt16BigEndian(packet.AsSpan(at)) != from) continue;
            return BinaryPrimitives.ReadUInt16BigEndian(packet.AsSpan(at + 2));
        }

        return null;
    }

    /// <inheritdoc/>
    public void Dispose() => socket.Dispose();
}
