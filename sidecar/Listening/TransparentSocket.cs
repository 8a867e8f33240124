using System.Net.Sockets;

namespace Mesh.Sidecar.Listening;

/// <summary>Lets a socket have addresses that are not this host's (IP_TRANSPARENT). Needs CAP_NET_ADMIN. Stateless.</summary>
internal static class TransparentSocket
{
    private const int LevelV4 = 0; // SOL_IP
    private const int LevelV6 = 41; // SOL_IPV6
    private const int OptionV4 = 19; // IP_TRANSPARENT
    private const int OptionV6 = 75; // IPV6_TRANSPARENT

    /// <summary>Before it is bound: to take connections to other addresses, or to be bound to one.</summary>
    public static void Allow(Socket socket)
    {
        var v6 = socket.AddressFamily == AddressFamily.InterNetworkV6;
        socket.SetRawSocketOption(v6 ? LevelV6 : LevelV4, v6 ? OptionV6 : OptionV4, BitConverter.GetBytes(1));
    }
}
