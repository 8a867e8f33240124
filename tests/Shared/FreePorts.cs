using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Mesh.Tests;

/// <summary>
/// Ports nobody listens on just now, for programs that cannot choose one themselves, and for tests that need a place where nothing is. They are
/// not among those the kernel gives to connections and to whoever asks for any port, so nobody gets one by chance before it is used; and none
/// is given twice. Thread safe.
/// </summary>
public static class FreePorts
{
    private const int Lowest = 10_000;
    private static readonly int End = Math.Max(KernelsFirst(), Lowest + 1000);
    private static readonly Lock Gate = new();
    private static readonly HashSet<int> Given = [];

    /// <summary>One free port.</summary>
    public static int One()
    {
        for (var attempt = 0; attempt < 1000; attempt++)
        {
            var port = Random.Shared.Next(Lowest, End);
            lock (Gate)
            {
                if (!Given.Add(port)) continue;
            }

            if (IsFree(port)) return port;
        }

        throw new InvalidOperationException($"no port from {Lowest} to {End} is free");
    }

    private static bool IsFree(int port)
    {
        try
        {
            // On all addresses: what is free there is free on each.
            using var probe = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            probe.Bind(new IPEndPoint(IPAddress.Any, port));
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    private static int KernelsFirst()
    {
        const string Range = "/proc/sys/net/ipv4/ip_local_port_range";
        return File.Exists(Range) ? int.Parse(File.ReadAllText(Range).Split('\t', ' ')[0], CultureInfo.InvariantCulture) : 32_768;
    }
}
