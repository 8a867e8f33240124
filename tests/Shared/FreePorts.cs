using System.Net;
using System.Net.Sockets;

namespace Mesh.Tests;

/// <summary>Ports nobody listens on just now, for programs that cannot choose one themselves.</summary>
public static class FreePorts
{
    /// <summary>One free port.</summary>
    public static int One()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
