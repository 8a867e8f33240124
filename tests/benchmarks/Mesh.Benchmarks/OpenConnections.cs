using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Mesh.Benchmarks;

/// <summary>Connections that were opened, served one request each, and stay open until disposed. Owned by the bench.</summary>
internal sealed class OpenConnections : IDisposable
{
    private static readonly byte[] Request = Encoding.ASCII.GetBytes("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    private const int AtOnce = 64;
    private readonly List<Socket> sockets = [];

    private OpenConnections(double seconds) => Seconds = seconds;

    /// <summary>From the first connect to the last answer.</summary>
    public double Seconds { get; }

    /// <summary>Opens so many, 64 at once; each is connected, asks and has its answer.</summary>
    public static OpenConnections Open(int port, int count)
    {
        var watch = Stopwatch.StartNew();
        var made = new Socket[count];
        var next = -1;
        var threads = Enumerable.Range(0, AtOnce).Select(_ => Task.Run(async () =>
        {
            var buffer = new byte[1024];
            while (Interlocked.Increment(ref next) is var number && number < count) made[number] = await OpenAsync(port, buffer);
        })).ToArray();
        Task.WaitAll(threads);
        var all = new OpenConnections(watch.Elapsed.TotalSeconds);
        all.sockets.AddRange(made);
        return all;
    }

    public void Dispose() => sockets.ForEach(s => s.Dispose());

    private static async Task<Socket> OpenAsync(int port, byte[] buffer)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(IPAddress.Loopback, port);
        await socket.SendAsync(Request, SocketFlags.None);
        var count = await socket.ReceiveAsync(buffer, SocketFlags.None);
        if (!Encoding.ASCII.GetString(buffer, 0, count).Contains(" 200 ", StringComparison.Ordinal)) throw new InvalidOperationException($"no answer on a connection to port {port}");
        return socket;
    }
}
