using System.Net;
using System.Net.Sockets;

namespace Mesh.Sidecar.Listening;

/// <summary>
/// Sockets that listen from the start, before there is any configuration: so that a taken port ends the program at once, port 0 is known
/// to the control plane, and who connects early waits in the backlog instead of being refused. The acceptor of the listener with that
/// address takes its socket. Thread safe. Owned by Program; disposing closes what nobody took.
/// </summary>
internal sealed class BoundSockets : IDisposable
{
    private const int Backlog = 1024;
    private readonly Lock gate = new();
    private readonly Dictionary<IPEndPoint, Socket> waiting = [];

    /// <summary>Listens on an address, port 0 for a free one, and says which it became. Throws <see cref="IOException"/> in words.</summary>
    public IPEndPoint Bind(string what, IPEndPoint address)
    {
        var socket = Open(what, address);
        var bound = (IPEndPoint)socket.LocalEndPoint!;
        lock (gate) waiting.Add(bound, socket);
        return bound;
    }

    /// <summary>The listening socket of an address, made before or now; the caller owns it. Throws <see cref="IOException"/> in words.</summary>
    public Socket Take(string what, IPEndPoint address)
    {
        lock (gate)
        {
            if (waiting.Remove(address, out var socket)) return socket;
        }

        return Open(what, address);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (gate)
        {
            foreach (var socket in waiting.Values) socket.Dispose();
            waiting.Clear();
        }
    }

    private static Socket Open(string what, IPEndPoint address)
    {
        var socket = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            if (address.AddressFamily == AddressFamily.InterNetworkV6) socket.DualMode = true;
            socket.NoDelay = true;
            socket.Bind(address);
            socket.Listen(Backlog);
            return socket;
        }
        catch (SocketException e)
        {
            socket.Dispose();
            throw new IOException($"{what}: cannot listen on {address}: {Reason(e)}", e);
        }
    }

    private static string Reason(SocketException e) => e.SocketErrorCode switch
    {
        SocketError.AddressAlreadyInUse => "the port is taken by another program; choose another, or port 0 for a free one",
        SocketError.AccessDenied => "not permitted; ports below 1024 need the capability CAP_NET_BIND_SERVICE",
        SocketError.AddressNotAvailable => "this machine has no such address",
        _ => e.Message,
    };
}
