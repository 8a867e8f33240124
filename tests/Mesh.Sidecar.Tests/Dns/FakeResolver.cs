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
        udp.Bind(new IPEndPoint(IPAddress.Parse(address), port));
        tcp.Bind((IPEndPoint)udp.LocalEndPoint!);
        tcp.Listen();
        _ = ServeUdpAsync();
        _ = ServeTcpAsync();
    }

    /// <summary>Its port.</summary>
    public int Port => ((IPEndPoint)udp.LocalEndPoint!).Port;

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
