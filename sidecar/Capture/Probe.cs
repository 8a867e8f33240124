using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Mesh.Sidecar.Capture;

/// <summary>Opens connections and sends queries as a program would, and tells what became of them. Stateless.</summary>
internal static class Probe
{
    /// <summary>What is said of a port at which nobody listens.</summary>
    public const string Refused = "refused";

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    /// <summary>Connects; from a port that is known also when nothing comes of it, and that <paramref name="tell"/> is told before.</summary>
    public static Attempt Connect(IPEndPoint to, Action<int>? tell)
    {
        var socket = new Socket(to.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        var local = Bind(socket);
        tell?.Invoke(local.Port);
        try
        {
            using var limit = new CancellationTokenSource(Patience);
            socket.ConnectAsync(to, limit.Token).AsTask().GetAwaiter().GetResult();
            return new Attempt(socket, "", (IPEndPoint)socket.LocalEndPoint!);
        }
        catch (OperationCanceledException)
        {
            socket.Dispose();
            return new Attempt(null, "no answer", local);
        }
        catch (SocketException e)
        {
            socket.Dispose();
            return new Attempt(null, Words(e), local);
        }
    }

    /// <summary>Asks a DNS server for a name that nobody has: null when something answers, else why nothing does; and the port it was asked from.</summary>
    public static (string? Silence, int From) Ask(IPEndPoint server, Witness? witness)
    {
        using var socket = new Socket(server.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
        var from = Bind(socket).Port;
        witness?.Await(from);
        try
        {
            using var limit = new CancellationTokenSource(Patience);
            socket.ConnectAsync(server, limit.Token).AsTask().GetAwaiter().GetResult();
            socket.Send(Query());
            var buffer = new byte[4096];
            socket.ReceiveAsync(buffer, SocketFlags.None, limit.Token).AsTask().GetAwaiter().GetResult();
            return (null, from);
        }
        catch (OperationCanceledException)
        {
            return ("no answer", from);
        }
        catch (SocketException e)
        {
            return (Words(e), from);
        }
    }

    /// <summary>A transparent listener on a port, which takes nobody's connection before it is told whose; null when some program has that port already.</summary>
    public static Socket? Listen(IPEndPoint at)
    {
        var socket = new Socket(at.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            if (at.AddressFamily == AddressFamily.InterNetworkV6) socket.DualMode = false;
            Transparent(socket);
            SocketFilter.Nothing.Attach(socket);
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

    private static IPEndPoint Bind(Socket socket)
    {
        socket.Bind(new IPEndPoint(socket.AddressFamily == AddressFamily.InterNetwork ? IPAddress.Any : IPAddress.IPv6Any, 0));
        return (IPEndPoint)socket.LocalEndPoint!;
    }

    private static string Words(SocketException e) => e.SocketErrorCode switch
    {
        SocketError.ConnectionRefused => Refused,
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
