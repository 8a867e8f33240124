using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Mesh.Sidecar.Capture;

/// <summary>Opens connections and sends queries as a program would, and tells what became of them. Stateless.</summary>
internal static class Probe
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    /// <summary>Connects; the connected socket, or why not.</summary>
    public static (Socket? Socket, string Failure) Connect(IPEndPoint to)
    {
        var socket = new Socket(to.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            using var limit = new CancellationTokenSource(Patience);
            socket.ConnectAsync(to, limit.Token).AsTask().GetAwaiter().GetResult();
            return (socket, "");
        }
        catch (OperationCanceledException)
        {
            socket.Dispose();
            return (null, "no answer");
        }
        catch (SocketException e)
        {
            socket.Dispose();
            return (null, Words(e));
        }
    }

    /// <summary>Asks a DNS server for a name that nobody has; null when something answers, else why nothing does.</summary>
    public static string? WhyNoAnswer(IPEndPoint server)
    {
        using var socket = new Socket(server.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
        try
        {
            using var limit = new CancellationTokenSource(Patience);
            socket.ConnectAsync(server, limit.Token).AsTask().GetAwaiter().GetResult();
            socket.Send(Query());
            var buffer = new byte[4096];
            socket.ReceiveAsync(buffer, SocketFlags.None, limit.Token).AsTask().GetAwaiter().GetResult();
            return null;
        }
        catch (OperationCanceledException)
        {
            return "no answer";
        }
        catch (SocketException e)
        {
            return Words(e);
        }
    }

    /// <summary>A listener on a port, or null when some program has it already.</summary>
    public static Socket? Listen(IPEndPoint at, bool transparent)
    {
        var socket = new Socket(at.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            if (at.AddressFamily == AddressFamily.InterNetworkV6) socket.DualMode = false;
            if (transparent) Transparent(socket);
            socket.Bind(at);
            socket.Listen();
            return socket;
        }
        catch (SocketException)
        {
            socket.Dispose();
            return null;
        }
    }

    /// <summary>A socket for datagrams on a port, or null when some program has it already.</summary>
    public static Socket? Receive(IPEndPoint at)
    {
        var socket = new Socket(at.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
        try
        {
            socket.Bind(at);
            return socket;
        }
        catch (SocketException)
        {
            socket.Dispose();
            return null;
        }
    }

    private static string Words(SocketException e) => e.SocketErrorCode switch
    {
        SocketError.ConnectionRefused => "refused",
        SocketError.NetworkUnreachable => "there is no route to it, and rules see only what has one",
        SocketError.HostUnreachable => "it cannot be reached",
        _ => e.Message,
    };

    private static void Transparent(Socket socket)
    {
        var (level, option) = socket.AddressFamily == AddressFamily.InterNetworkV6 ? (41, 75) : (0, 19);
        socket.SetRawSocketOption(level, option, BitConverter.GetBytes(1));
    }

    /// <summary>Query for the address of mesh-capture-check.invalid, with recursion, as RFC 1035 has it.</summary>
    private static byte[] Query()
    {
        var query = new List<byte> { 0x4d, 0x43, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0 };
        foreach (var label in (string[])["mesh-capture-check", "invalid"])
        {
            query.Add((byte)label.Length);
            query.AddRange(Encoding.ASCII.GetBytes(label));
        }

        query.AddRange([0, 0, 1, 0, 1]);
        return [.. query];
    }
}
