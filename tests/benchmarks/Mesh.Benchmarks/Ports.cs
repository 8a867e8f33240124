using System.Net;
using System.Net.Sockets;

namespace Mesh.Benchmarks;

internal static class Ports
{
    /// <summary>A port that is free now. The programs measured here cannot all choose one themselves.</summary>
    public static int Free()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
