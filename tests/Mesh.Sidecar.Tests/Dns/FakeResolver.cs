using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace Mesh.Sidecar.Tests.Dns;

/// <summary>A resolver of a test: what it answers to each message is the test's business; several datagrams, or none.</summary>
internal sealed class FakeResolver : IDisposable
{
    private readonly Socket udp = new(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
    private readonly Socket tcp = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private readonly Func<byte[], bool, IEnumerable<byte[]>> answer;

    public FakeResolver(string address, int port, Func<byte[], bool, IEnumerable<byte[]>> answer)
    {
        this.answer = answer;
        Port = port > 0 ? port : DnsPorts.Next();
        udp.Bind(new IPEndPoint(IPAddress.Parse(address), Port));
        tcp.Bind(udp.LocalEndPoint!);
        tcp.Listen();
        _ = ServeUdpAsync();
        _ = ServeTcpAsync();
    }

    /// <summary>Its port.</summary>
    public int Port { get; }

    /// <summary>What it was sent, and from which port.</summary>
    public ConcurrentQueue<(byte[] Message, int Port, bool Tcp)> Seen { get; } = new();

    public void Dispose()
    {
        udp.Dispose();
        tcp.Dispose();
    }

    private async Task ServeUdpAsync()
    {
        var buffer = new byte[65535];
        try
        {
            while (true)
            {
                var got = await udp.ReceiveFromAsync(buffer, SocketFlags.None, new IPEndPoint(IPAddress.Any, 0));
                var message = buffer[..got.ReceivedBytes];
                Seen.Enqueue((message, ((IPEndPoint)got.RemoteEndPoint).Port, false));
                foreach (var one in answer(message, false)) await udp.SendToAsync(one, SocketFlags.None, got.RemoteEndPoint);
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // The test is over.
        }
    }

    private async Task ServeTcpAsync()
    {
        try
        {
            while (true)
            {
                using var client = await tcp.AcceptAsync();
                var head = new byte[2];
                if (await client.ReceiveAsync(head) != 2) continue;
                var message = new byte[BinaryPrimitives.ReadUInt16BigEndian(head)];
                for (var at = 0; at < message.Length;) at += await client.ReceiveAsync(message.AsMemory(at));
                Seen.Enqueue((message, ((IPEndPoint)client.RemoteEndPoint!).Port, true));
                foreach (var one in answer(message, true)) await client.SendAsync((byte[])[(byte)(one.Length >> 8), (byte)one.Length, .. one]);
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // The test is over.
        }
    }
}

/// <summary>
/// Ports that are free for datagrams and connections on all of the loopback addresses tests use. Below those the kernel gives to clients: a port that was free
/// a moment ago stays so.
/// </summary>
internal static class DnsPorts
{
    private const int First = 12000;
    private const int Count = 18000;
    private static int next = Environment.ProcessId * 131 % Count;

    public static int Next()
    {
        while (true)
        {
            var port = First + (int)((uint)Interlocked.Increment(ref next) % Count);
            if (IsFree(port, SocketType.Dgram, ProtocolType.Udp) && IsFree(port, SocketType.Stream, ProtocolType.Tcp)) return port;
        }
    }

    private static bool IsFree(int port, SocketType type, ProtocolType protocol)
    {
        try
        {
            using var socket = new Socket(AddressFamily.InterNetwork, type, protocol);
            socket.Bind(new IPEndPoint(IPAddress.Any, port));
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}
