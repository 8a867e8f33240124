using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace Mesh.EndToEnd.Tests.Testbed;

/// <summary>
/// Reads every TCP packet of this machine that comes from or goes to one port, as the kernel sees it on the wire, and puts the streams
/// together again. Needs the right to open raw sockets. One reader, ends with its disposal. It reads after the fact: wait for what is to be seen.
/// </summary>
internal sealed class PacketCapture : IDisposable
{
    private const short AllProtocols = 3;
    private const int Ethernet = 14;
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(100);
    private readonly Socket socket;
    private readonly int port;
    private readonly ConcurrentDictionary<(int From, int To), Direction> directions = new();
    private readonly Task reading;
    private volatile bool ended;

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
            var observed = IPEndPoint.Parse(address).Port;
            KeepOnly(raw, observed);
            return new PacketCapture(raw, observed);
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
        // The kernel wakes nobody who waits for a packet of a socket that is closed: the reader looks for itself.
        ended = true;
        reading.Wait();
        socket.Dispose();
    }

    /// <summary>
    /// Has the kernel leave out what is not of this port: the socket's buffer is small whatever is asked for, and what all other tests send
    /// would fill it before the reader comes to it.
    /// </summary>
    private static void KeepOnly(Socket socket, int port)
    {
        const int socketLevel = 1, attachFilter = 26;
        const ushort loadByte = 0x30, loadHalf = 0x28, loadHalfAfterHeader = 0x48, loadHeaderLength = 0xb1, jumpIfEqual = 0x15, answer = 0x06;
        var tcpPort = (uint)port;
        Instruction[] program =
        [
            new(loadHalf, 0, 0, 12), // The protocol of the frame: IPv4,
            new(jumpIfEqual, 0, 7, 0x0800),
            new(loadByte, 0, 0, Ethernet + 9), // and within it TCP,
            new(jumpIfEqual, 0, 5, (uint)ProtocolType.Tcp),
            new(loadHeaderLength, 0, 0, Ethernet),
            new(loadHalfAfterHeader, 0, 0, Ethernet), // from the port
            new(jumpIfEqual, 3, 0, tcpPort),
            new(loadHalfAfterHeader, 0, 0, Ethernet + 2), // or to it.
            new(jumpIfEqual, 1, 0, tcpPort),
            new(answer, 0, 0, 0),
            new(answer, 0, 0, int.MaxValue),
        ];
        var pinned = GCHandle.Alloc(program, GCHandleType.Pinned);
        try
        {
            // struct sock_fprog: how many instructions, and where.
            var option = new byte[16];
            BitConverter.TryWriteBytes(option, (ushort)program.Length);
            BitConverter.TryWriteBytes(option.AsSpan(8), pinned.AddrOfPinnedObject().ToInt64());
            socket.SetRawSocketOption(socketLevel, attachFilter, option);
        }
        finally
        {
            pinned.Free();
        }
    }

    private void Read()
    {
        var packet = new byte[128 * 1024];
        while (!ended)
        {
            if (socket.Poll(Look, SelectMode.SelectRead)) Take(packet.AsSpan(0, socket.Receive(packet)));
        }
    }

    private void Take(ReadOnlySpan<byte> frame)
    {
        if (frame.Length < Ethernet + 40 || BinaryPrimitives.ReadUInt16BigEndian(frame[12..]) != 0x0800) return;
        var ip = frame[Ethernet..];
        if (ip[9] != (byte)ProtocolType.Tcp) return;
        var length = Math.Min(BinaryPrimitives.ReadUInt16BigEndian(ip[2..]), ip.Length);
        var tcp = ip[((ip[0] & 0xf) * 4)..length];
        var (from, to) = (BinaryPrimitives.ReadUInt16BigEndian(tcp), BinaryPrimitives.ReadUInt16BigEndian(tcp[2..]));
        if (from != port && to != port) return;
        var direction = directions.GetOrAdd((from, to), _ => new Direction());
        direction.Add(BinaryPrimitives.ReadUInt32BigEndian(tcp[4..]), isSyn: (tcp[13] & 2) != 0, tcp[((tcp[12] >> 4) * 4)..]);
    }

    /// <summary>struct sock_filter of the kernel.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private readonly record struct Instruction(ushort Code, byte IfTrue, byte IfFalse, uint Value);

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
