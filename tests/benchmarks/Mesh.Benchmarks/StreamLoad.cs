using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Mesh.Benchmarks;

/// <summary>
/// One TCP stream as fast as it goes: writes into a proxy and reads at the far end, in a process of its own (<c>--stream SINK PROXY SECONDS</c>) that can be
/// kept off the proxies' core. Prints the bytes that came through.
/// </summary>
internal static class StreamLoad
{
    private const int BufferSize = 256 * 1024;

    public static int Run(string[] args)
    {
        int Number(int at) => int.Parse(args[at], CultureInfo.InvariantCulture);
        using var listener = new TcpListener(IPAddress.Loopback, Number(1));
        listener.Start();
        using var sender = new TcpClient("127.0.0.1", Number(2));
        using var receiver = listener.AcceptTcpClient();
        var write = new Thread(() => Write(sender.GetStream(), TimeSpan.FromSeconds(Number(3))));
        write.Start();
        Console.WriteLine(Read(receiver.GetStream()));
        write.Join();
        return 0;
    }

    private static void Write(NetworkStream stream, TimeSpan duration)
    {
        var bytes = new byte[BufferSize];
        new Random(1).NextBytes(bytes);
        var watch = System.Diagnostics.Stopwatch.StartNew();
        while (watch.Elapsed < duration) stream.Write(bytes);
        stream.Socket.Shutdown(SocketShutdown.Send);
        // What is still under way is read before both ends close.
        try
        {
            stream.ReadByte();
        }
        catch (IOException)
        {
            // Some proxies end a stream of one direction by a reset.
        }
    }

    private static long Read(NetworkStream stream)
    {
        var buffer = new byte[BufferSize];
        var total = 0L;
        while (stream.Read(buffer) is > 0 and var count) total += count;
        stream.Socket.Shutdown(SocketShutdown.Send);
        return total;
    }
}
