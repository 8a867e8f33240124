using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Mesh.Sidecar.Dns;

/// <summary>
/// Which ports queries to the machine's resolvers leave from: drawn at random among those that the kernel gives to nobody. Application and sidecar ask the
/// same servers from the same address, and connection tracking remembers for half a minute where a datagram between two ports went. Did both use the same ports,
/// our query would come back to us, and the application's would go past us. Thread safe.
/// </summary>
internal sealed class QueryPorts
{
    /// <summary>Where Linux says which ports the kernel gives to sockets that have none, of both families.</summary>
    public const string KernelsRange = "/proc/sys/net/ipv4/ip_local_port_range";

    /// <summary>Lower ones are the ports of services.</summary>
    private const int First = 10_000;

    private const int Fewest = 1024;
    private const int Tries = 8;
    private readonly (int First, int Last)[] free;

    /// <summary>The ports beside a range as the kernel writes it: two numbers. Another text counts as Linux's default.</summary>
    public QueryPorts(string range)
    {
        var numbers = range.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries).Select(word => int.TryParse(word, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : -1).ToArray();
        var (low, high) = numbers is [> 0 and <= ushort.MaxValue, > 0 and <= ushort.MaxValue] ? (numbers[0], numbers[1]) : (32768, 60999);
        free = [.. new[] { (First, Last: low - 1), (First: Math.Max(First, high + 1), ushort.MaxValue) }.Where(part => part.Item1 <= part.Item2)];
        Count = free.Sum(part => part.Last - part.First + 1);
    }

    /// <summary>How many there are.</summary>
    public int Count { get; }

    /// <summary>True when there are too few, and the kernel chooses: then some queries go astray.</summary>
    public bool AreTooFew => Count < Fewest;

    /// <summary>Gives a socket one of them; the kernel's choice where there are too few, or those drawn are taken.</summary>
    public void Bind(Socket socket)
    {
        var any = socket.AddressFamily == AddressFamily.InterNetwork ? IPAddress.Any : IPAddress.IPv6Any;
        for (var tries = 0; tries < Tries && !AreTooFew; tries++)
        {
            try
            {
                socket.Bind(new IPEndPoint(any, Draw()));
                return;
            }
            catch (SocketException e) when (e.SocketErrorCode is SocketError.AddressAlreadyInUse or SocketError.AccessDenied)
            {
                // Somebody has it; another one.
            }
        }
    }

    private int Draw()
    {
        var number = (int)(Unguessable.Number() % (uint)Count);
        foreach (var (first, last) in free)
        {
            if (first + number <= last) return first + number;
            number -= last - first + 1;
        }

        throw new InvalidOperationException("a port beyond all");
    }
}
