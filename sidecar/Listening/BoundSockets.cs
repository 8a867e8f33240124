using System.Collections.Immutable;
using System.Net;
using System.Net.Sockets;
using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Listening;

/// <summary>
/// Sockets that listen from the start, before there is any configuration: so that a taken port ends the program at once, port 0 is known
/// to the control plane, and who connects early waits in the backlog instead of being refused. The acceptor of the listener with that
/// address takes its socket. Thread safe. Owned by Program; disposing closes what nobody took.
/// </summary>
internal sealed class BoundSockets : IDisposable
{
    private const int Backlog = 1024;
    private const int PairTries = 20;
    private readonly Lock gate = new();
    private readonly Dictionary<IPEndPoint, Socket> waiting = [];
    private readonly Dictionary<IPEndPoint, Socket> datagrams = [];
    private readonly HashSet<IPEndPoint> alone = []; // IPv6 addresses beside which IPv4 has a socket of its own

    /// <summary>Listens on an address, port 0 for a free one, and says which it became. Throws <see cref="IOException"/> in words.</summary>
    public IPEndPoint Bind(string what, IPEndPoint address, CaptureTerms terms = default) => Keep(Open(what, address, terms));

    /// <summary>
    /// Listens on one port of an address of each family, IPv4 first; port 0 for one that is free on both. Where the machine has no IPv6,
    /// on IPv4 alone. Throws <see cref="IOException"/> in words.
    /// </summary>
    public ImmutableArray<IPEndPoint> BindBoth(string what, IPAddress v4, IPAddress v6, int port, bool transparent = false)
    {
        var terms = new CaptureTerms(Captured: true, transparent);
        for (var tries = 0; ; tries++)
        {
            var first = Open(what, new IPEndPoint(v4, port), terms);
            var other = new IPEndPoint(v6, ((IPEndPoint)first.LocalEndPoint!).Port);
            try
            {
                return [Keep(first), .. HasAddress(v6) ? KeepAlone(Open(what, other, terms)) : Array.Empty<IPEndPoint>()];
            }
            catch (IOException) when (port == 0 && tries < PairTries)
            {
                Release(first);
            }
        }
    }

    /// <summary>Binds an address for datagrams; the port is said. Throws <see cref="IOException"/> in words.</summary>
    public void BindDatagrams(string what, IPEndPoint address)
    {
        var socket = OpenDatagrams(what, address);
        lock (gate) datagrams.Add(address, socket);
    }

    /// <summary>The datagram socket of an address, made before or now; the caller owns it. Throws <see cref="IOException"/> in words.</summary>
    public Socket TakeDatagrams(string what, IPEndPoint address)
    {
        lock (gate)
        {
            if (datagrams.Remove(address, out var socket)) return socket;
        }

        return OpenDatagrams(what, address);
    }

    /// <summary>The listening socket of an address, made before or now; the caller owns it. Throws <see cref="IOException"/> in words.</summary>
    public Socket Take(string what, IPEndPoint address, CaptureTerms terms = default)
    {
        lock (gate)
        {
            if (waiting.Remove(address, out var socket)) return socket;
        }

        return Open(what, address, terms with { Captured = terms.Captured || IsAlone(address) });
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (gate)
        {
            foreach (var socket in waiting.Values.Concat(datagrams.Values)) socket.Dispose();
            waiting.Clear();
            datagrams.Clear();
        }
    }

    private IPEndPoint Keep(Socket socket)
    {
        var bound = (IPEndPoint)socket.LocalEndPoint!;
        lock (gate) waiting.Add(bound, socket);
        return bound;
    }

    private IPEndPoint[] KeepAlone(Socket socket)
    {
        var bound = Keep(socket);
        lock (gate) alone.Add(bound);
        return [bound];
    }

    private void Release(Socket socket)
    {
        lock (gate) waiting.Remove((IPEndPoint)socket.LocalEndPoint!);
        socket.Dispose();
    }

    private bool IsAlone(IPEndPoint address)
    {
        lock (gate) return alone.Contains(address);
    }

    /// <summary>False on a machine without IPv6, or with none on its loopback.</summary>
    private static bool HasAddress(IPAddress v6)
    {
        try
        {
            using var socket = new Socket(AddressFamily.InterNetworkV6, SocketType.Dgram, ProtocolType.Udp);
            socket.Bind(new IPEndPoint(v6, 0));
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    private static Socket OpenDatagrams(string what, IPEndPoint address)
    {
        var socket = new Socket(address.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
        try
        {
            socket.Bind(address);
            return socket;
        }
        catch (SocketException e)
        {
            socket.Dispose();
            throw new IOException($"{what}: cannot take datagrams on {address}: {Reason(e, default)}", e);
        }
    }

    private static Socket Open(string what, IPEndPoint address, CaptureTerms terms)
    {
        var socket = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            if (address.AddressFamily == AddressFamily.InterNetworkV6) socket.DualMode = !terms.Captured;
            if (terms.Transparent) TransparentSocket.Allow(socket);
            socket.NoDelay = true;
            socket.Bind(address);
            socket.Listen(Backlog);
            return socket;
        }
        catch (SocketException e)
        {
            socket.Dispose();
            throw new IOException($"{what}: cannot listen on {address}: {Reason(e, terms)}", e);
        }
    }

    private static string Reason(SocketException e, CaptureTerms terms) => e.SocketErrorCode switch
    {
        SocketError.AddressAlreadyInUse => "the port is taken by another program; choose another, or port 0 for a free one",
        SocketError.AccessDenied when terms.Transparent => "not permitted; taking traffic by TPROXY needs the capability CAP_NET_ADMIN",
        SocketError.AccessDenied => "not permitted; ports below 1024 need the capability CAP_NET_BIND_SERVICE",
        SocketError.AddressNotAvailable => "this machine has no such address",
        _ => e.Message,
    };
}

/// <summary>How a socket takes captured connections.</summary>
/// <param name="Captured">There is one for each family of addresses: the kernel tells the destinations of each in its own way.</param>
/// <param name="Transparent">It takes connections that were meant for addresses it is not bound to (TPROXY).</param>
internal readonly record struct CaptureTerms(bool Captured, bool Transparent)
{
    /// <summary>The terms of a listener.</summary>
    public static CaptureTerms Of(Listener listener) => new(listener.IsCaptured || listener.IsTransparent, listener.IsTransparent);
}
