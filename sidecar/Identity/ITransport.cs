using System.Net.Sockets;

namespace Mesh.Sidecar.Identity;

/// <summary>
/// A connection as its users see it: bytes both ways, each way ended by itself. Plain, or TLS. One receiver and one sender at a time;
/// disposing it, from any thread, ends what runs. What breaks it is an <see cref="IOException"/>, a <see cref="SocketException"/> or an
/// <see cref="ObjectDisposedException"/> (<see cref="Transports.IsBreak"/>).
/// </summary>
internal interface ITransport : IDisposable
{
    /// <summary>The socket below.</summary>
    Socket Socket { get; }

    /// <summary>Who is at the other end, proven; null when nobody proved anything.</summary>
    PeerIdentity? Peer { get; }

    /// <summary>Ends when there is something to receive, or the end, and never else: who waits so needs no buffer meanwhile. In the place of a receive, not beside one.</summary>
    ValueTask WaitAsync();

    /// <summary>Receives: the number of bytes, 0 when the peer has ended its sending in good order.</summary>
    ValueTask<int> ReceiveAsync(Memory<byte> into);

    /// <summary>Sends all bytes.</summary>
    ValueTask SendAsync(ReadOnlyMemory<byte> bytes);

    /// <summary>Says that nothing more is sent; receiving goes on.</summary>
    ValueTask EndSendingAsync();

    /// <summary>Closes it so that the peer sees a break, not an end.</summary>
    void Reset();
}

/// <summary>What transports have in common. Stateless.</summary>
internal static class Transports
{
    /// <summary>True for the exceptions of a connection that broke or was closed here.</summary>
    public static bool IsBreak(Exception e) => e is IOException or SocketException or ObjectDisposedException;

    /// <summary>Closes a socket so that its peer sees a reset.</summary>
    public static void Reset(Socket socket)
    {
        try
        {
            socket.LingerState = new LingerOption(true, 0);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // Closed already.
        }

        socket.Dispose();
    }
}
