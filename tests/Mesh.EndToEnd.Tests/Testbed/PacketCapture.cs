using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace Mesh.EndToEnd.Tests.Testbed;

/// <summary>
/// Reads every TCP packet of this machine that comes from or goes to one port, as the kernel sees it on the wire, and puts the streams
/// together again. Needs the right to open raw sockets. One reader, ends with its disposal.
/// </summary>
internal sealed class PacketCapture : IDisposable
{
    private const short AllProtocols = 3;
    private readonly Socket socket;
    private readonly int port;
    private readonly ConcurrentDictionary<(int From, int To), Direction> directions = new();
    private readonly Task reading;

    private PacketCapture(Socket socket, int port)
    {
        (this.socket, this.port) = (socket, port);
        reading = Task.Factory.StartNew(Read, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
    }

    /// <summary>Starts; skips the test where raw sockets are not allowed.</summary>
    public static PacketCapture Start(string address)
    {
        try
        {
            var raw = new Socket(AddressFamily.Packet, SocketType.Raw, (ProtocolType)IPAddress.HostToNetworkOrder(AllProtocols)) { ReceiveBufferSize = 64 << 20 };
            return new PacketCapture(raw, IPEndPoint.Parse(address).Port);
        }
        catch (SocketException e)
        {
            Skip.If(true, $"no packet capture without CAP_NET_RAW: {e.Message}");
            throw;
        }
    }

    /// <summary>What was said on each connection by each side; connections whose beginning was not seen are left out.</summary>
    public IReadOnlyList<(bool ToPort, byte[] Bytes)> Streams() =>
        [.. directions.Where(d => d.Value.SawBeginning).Select(d => (d.Key.To == port, d.Value.Bytes()))];

    public void Dispose()
    {
        socket.Dispose();
        reading.Wait();
    }

    private void Read()
    {
        var packet = new byte[128 * 1024];
        try
        {
            while (true) Take(packet.AsSpan(0, socket.Receive(packet)));
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // Disposed.
        }
    }

    private void Take(ReadOnlySpan<byte> frame)
    {
        const int ethernet = 14;
        if (frame.Length < ethernet + 40 || BinaryPrimitives.ReadUInt16BigEndian(frame[12..]) != 0x0800) return;
        var ip = frame[ethernet..];
        if (ip[9] != (byte)ProtocolType.Tcp) return;
        var length = Math.Min(BinaryPrimitives.ReadUInt16BigEndian(ip[2..]), ip.Length);
        var tcp = ip[((ip[0] & 0xf) * 4)..length];
        var (from, to) = (BinaryPrimitives.ReadUInt16BigEndian(tcp), BinaryPrimitives.ReadUInt16BigEndian(tcp[2..]));
        if (from != port && to != port) return;
        var direction = directions.GetOrAdd((from, to), _ => new Direction());
        direction.Add(BinaryPrimitives.ReadUInt32BigEndian(tcp[4..]), isSyn: (tcp[13] & 2) != 0, tcp[((tcp[12] >> 4) * 4)..]);
    }

    /// <summary>One direction of one connection; the loopback device shows each packet twice, so parts are kept by their place.</summary>
    private sealed class Direction
    {
        private readonly Lock gate = new();
        private readonly SortedDictionary<uint, byte[]> parts = [];
        private uint? first;

        public bool SawBeginning
        {
            get
            {
                lock (gate) return first is not null;
            }
        }

        public void Add(uint sequence, bool isSyn, ReadOnlySpan<byte> content)
        {
            lock (gate)
            {
                if (isSyn) first = sequence + 1;
                if (first is { } start && content.Length > 0) parts.TryAdd(sequence - start, content.ToArray());
            }
        }

        /// <summary>What is there without a gap.</summary>
        public byte[] Bytes()
        {
            lock (gate)
            {
                using var all = new MemoryStream();
                foreach (var (at, content) in parts)
                {
                    if (at > all.Length) break;
                    if (at + content.Length <= all.Length) continue;
                    all.Write(content.AsSpan((int)(all.Length - at)));
                }

                return all.ToArray();
            }
        }
    }
}
