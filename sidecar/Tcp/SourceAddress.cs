using System.Net;
using System.Net.Sockets;
using Mesh.Sidecar.Listening;
using Mesh.Sidecar.Resilience;

namespace Mesh.Sidecar.Tcp;

/// <summary>
/// Gives connections that the sidecar makes an address of their own: the client's, so that the application sees it (TPROXY), or the one by
/// which the rules know a call of this workload to itself. Stateless.
/// </summary>
internal static class SourceAddress
{
    private const int LevelV4 = 0; // SOL_IP
    private const int BindWithoutPort = 24; // IP_BIND_ADDRESS_NO_PORT
    private const int MostTries = 8;

    // Below what systems give to clients. The client's own port can never be used: with it both connections of the application's port would be
    // the same one to the kernel; and a free port of its range might be another connection of that client.
    private const int FirstPort = 10_240;
    private const uint Ports = 22_528;

    /// <summary>
    /// A connection to this host's own address from here is taken for a call of the workload to itself and captured like anybody's; from
    /// another address it is the last hop, to the application (the rules that <c>capture install</c> makes say the same).
    /// </summary>
    private static readonly IPAddress SelfCallV4 = IPAddress.Parse("127.15.0.6");

    /// <summary>The address that a call of this workload to itself has, by family.</summary>
    public static IPAddress SelfCall(AddressFamily family) => family == AddressFamily.InterNetwork ? SelfCallV4 : IPAddress.IPv6Loopback;

    /// <summary>Binds a call of this workload to itself.</summary>
    public static void BindSelfCall(Socket socket)
    {
        socket.SetRawSocketOption(LevelV4, BindWithoutPort, BitConverter.GetBytes(1));
        socket.Bind(new IPEndPoint(SelfCall(socket.AddressFamily), 0));
    }

    /// <summary>Connects as <paramref name="client"/>, from a port that client does not use.</summary>
    public static async ValueTask<Socket> ConnectAsAsync(IPAddress client, IPEndPoint to, Randomness random, CancellationToken cancel)
    {
        for (var tried = 1; ; tried++)
        {
            var socket = new Socket(to.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            try
            {
                TransparentSocket.Allow(socket);
                // Other connections to other destinations may have the port.
                socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.ReuseAddress, true);
                socket.Bind(new IPEndPoint(client, FirstPort + (int)random.Below(Ports)));
                await socket.ConnectAsync(to, cancel);
                return socket;
            }
            catch (SocketException e) when (tried < MostTries && e.SocketErrorCode is SocketError.AddressAlreadyInUse or SocketError.AddressNotAvailable)
            {
                socket.Dispose();
            }
            catch
            {
                socket.Dispose();
                throw;
            }
        }
    }
}
