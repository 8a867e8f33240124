using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Mesh.Sidecar.Capture;

/// <summary>
/// The TCP sockets of this network namespace, as the kernel lists them: tells at which socket a connection arrived, without asking the
/// program that has it. Reads each time.
/// </summary>
internal static class SocketTable
{
    private const int Listening = 0x0A;

    /// <summary>
    /// The local end of the socket whose other end is this; null when there is none (any more). Others' NAT may have given the client another address: at
    /// the port where it is expected, the client's port is enough.
    /// </summary>
    public static IPEndPoint? ArrivedAt(IPEndPoint client, int expected)
    {
        var rows = Rows().Where(r => r.State != Listening && r.Remote.Port == client.Port).ToList();
        return (rows.Where(r => Same(r.Remote.Address, client.Address)).Select(r => r.Local).FirstOrDefault())
            ?? rows.Where(r => r.Local.Port == expected).Select(r => r.Local).FirstOrDefault();
    }

    /// <summary>Whether a program listens on a port, on whatever address of the family.</summary>
    public static bool HasListener(int port, AddressFamily family) =>
        Rows().Any(r => r.State == Listening && r.Local.Port == port && (r.Local.AddressFamily == family || r.Local.Address.Equals(IPAddress.IPv6Any)));

    /// <summary>The user whose program listens on a port; null when nobody does.</summary>
    public static uint? ListenerOwner(int port) => Rows().Where(r => r.State == Listening && r.Local.Port == port).Select(r => (uint?)r.Owner).FirstOrDefault();

    private static bool Same(IPAddress one, IPAddress other) => Plain(one).Equals(Plain(other));

    private static IPAddress Plain(IPAddress address) => address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : new IPAddress(address.GetAddressBytes());

    private static IEnumerable<(IPEndPoint Local, IPEndPoint Remote, int State, uint Owner)> Rows() =>
        from file in new[] { "/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6" }
        where File.Exists(file)
        from line in File.ReadLines(file).Skip(1)
        let words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries)
        where words.Length > 7
        select (EndPoint(words[1]), EndPoint(words[2]), int.Parse(words[3], NumberStyles.HexNumber, CultureInfo.InvariantCulture), uint.Parse(words[7], CultureInfo.InvariantCulture));

    /// <summary>"0100007F:1F90": words of 32 bits, each as it lies in memory.</summary>
    private static IPEndPoint EndPoint(string text)
    {
        var colon = text.IndexOf(':');
        var bytes = Convert.FromHexString(text.AsSpan(0, colon));
        if (BitConverter.IsLittleEndian)
        {
            for (var i = 0; i < bytes.Length; i += 4) bytes.AsSpan(i, 4).Reverse();
        }

        return new IPEndPoint(new IPAddress(bytes), int.Parse(text.AsSpan(colon + 1), NumberStyles.HexNumber, CultureInfo.InvariantCulture));
    }
}
