using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;

namespace Mesh.EndToEnd.Tests.Testbed.Network;

/// <summary>
/// Sees every TCP packet that passes the switches of a <see cref="NetworkTestbed"/>, and judges what machines say to each other as somebody on the wire
/// would: TLS 1.3 or not. One reader, which <see cref="Stop"/> and disposal end; the judgement is about what was sent until then.
/// </summary>
internal sealed class LanTap : IDisposable
{
    private const short AllProtocols = 3;
    private const int Ethernet = 14;
    private const int MaxKept = 256 << 10;
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(50);

    // What would be on the wire in plaintext: also of a connection whose beginning was not seen.
    private static readonly byte[][] Words = [.. new[] { "HTTP/1.", "PRI * HTTP", "spiffe://", "grpc-status" }.Select(Encoding.ASCII.GetBytes)];
    private readonly Socket socket;
    private readonly Task reading;
    private readonly Dictionary<(IPEndPoint From, IPEndPoint To), Direction> directions = [];
    private volatile bool ended;

    private LanTap(Socket socket)
    {
        this.socket = socket;
        reading = Task.Factory.StartNew(Read, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
    }

    /// <summary>Starts to read.</summary>
    public static LanTap Start(NetworkTestbed network) => new(network.Router.Inside(() =>
    {
        var made = new Socket(AddressFamily.Packet, SocketType.Raw, (ProtocolType)IPAddress.HostToNetworkOrder(AllProtocols));
        // SO_RCVBUFFORCE: root may go beyond what others get.
        made.SetRawSocketOption(1, 33, MemoryMarshal.AsBytes([64 << 20]));
        return made;
    }));

    /// <summary>Reads what was sent until now, and no more.</summary>
    public void Stop()
    {
        ended = true;
        reading.Wait();
    }

    /// <summary>How many connections began from one machine to another.</summary>
    public int Connections(NetworkHost from, NetworkHost to) => Between(from, to).Sum(d => d.Value.Streams().Count(stream => stream.Began));

    /// <summary>What is wrong with what one machine and another said to each other, whoever began; empty when all was TLS 1.3. After <see cref="Stop"/>.</summary>
    public IReadOnlyList<string> Problems(NetworkHost one, NetworkHost other)
    {
        var found = new List<string>();
        foreach (var (ends, direction) in Between(one, other).Concat(Between(other, one)))
        {
            var where = $"{ends.From} to {ends.To}";
            if (direction.Leak is { } leak) found.Add($"{where}: in plaintext: {leak}");
            foreach (var (began, bytes) in direction.Streams())
            {
                if (bytes.Length > 0 && TlsRecords.Problem(bytes, fromClient: began) is { } problem) found.Add($"{where}{(began ? " (began)" : "")}: {problem}");
            }
        }

        return found;
    }

    public void Dispose()
    {
        Stop();
        socket.Dispose();
    }

    private IEnumerable<KeyValuePair<(IPEndPoint From, IPEndPoint To), Direction>> Between(NetworkHost from, NetworkHost to)
    {
        var (sources, targets) = (All(from), All(to));
        return directions.Where(d => sources.Contains(d.Key.From.Address) && targets.Contains(d.Key.To.Address));
    }

    private static HashSet<IPAddress> All(NetworkHost host) => [.. host.Addresses.Concat(host.Addresses6).Select(IPAddress.Parse)];

    private void Read()
    {
        var packet = new byte[128 * 1024];
        while (true)
        {
            if (socket.Poll(ended ? TimeSpan.Zero : Look, SelectMode.SelectRead)) Take(packet.AsSpan(0, socket.Receive(packet)));
            else if (ended) return;
        }
    }

    private void Take(ReadOnlySpan<byte> frame)
    {
        if (frame.Length < Ethernet + 40) return;
        var ip = frame[Ethernet..];
        var isV4 = BinaryPrimitives.ReadUInt16BigEndian(frame[12..]) == 0x0800;
        if (!isV4 && BinaryPrimitives.ReadUInt16BigEndian(frame[12..]) != 0x86dd) return;
        if (ip[isV4 ? 9 : 6] != (byte)ProtocolType.Tcp) return;
        var (from, to) = isV4 ? (new IPAddress(ip.Slice(12, 4)), new IPAddress(ip.Slice(16, 4))) : (new IPAddress(ip.Slice(8, 16)), new IPAddress(ip.Slice(24, 16)));
        var (begin, end) = isV4 ? ((ip[0] & 0xf) * 4, BinaryPrimitives.ReadUInt16BigEndian(ip[2..])) : (40, 40 + BinaryPrimitives.ReadUInt16BigEndian(ip[4..]));
        var tcp = ip[begin..Math.Min(end, ip.Length)];
        var ends = (new IPEndPoint(from, BinaryPrimitives.ReadUInt16BigEndian(tcp)), new IPEndPoint(to, BinaryPrimitives.ReadUInt16BigEndian(tcp[2..])));
        if (!directions.TryGetValue(ends, out var direction)) directions[ends] = direction = new Direction();
        direction.Add(BinaryPrimitives.ReadUInt32BigEndian(tcp[4..]), tcp[13], tcp[((tcp[12] >> 4) * 4)..]);
    }

    /// <summary>
    /// One direction between two ports, where one connection may follow another. Packets pass more than one cable, so parts are kept by their place.
    /// </summary>
    private sealed class Direction
    {
        private readonly List<(bool Began, byte[] Bytes)> earlier = [];
        private readonly SortedDictionary<uint, byte[]> parts = [];
        private uint first;
        private bool? began;

        /// <summary>A word that no one may read there.</summary>
        public string? Leak { get; private set; }

        public void Add(uint sequence, byte flags, ReadOnlySpan<byte> content)
        {
            if ((flags & 2) != 0) Begin(sequence + 1, isCaller: (flags & 16) == 0);
            if (content.Length == 0) return;
            foreach (var word in Words)
            {
                if (content.IndexOf(word) >= 0) Leak ??= Encoding.Latin1.GetString(content[..Math.Min(200, content.Length)]);
            }

            if (began is not null && sequence - first < MaxKept) parts.TryAdd(sequence - first, content.ToArray());
        }

        /// <summary>What was sent on each connection whose beginning was seen, and whether this side began it.</summary>
        public IEnumerable<(bool Began, byte[] Bytes)> Streams() => began is { } last ? [.. earlier, (last, Bytes())] : earlier;

        /// <summary>A connection begins; its beginning may be seen again.</summary>
        private void Begin(uint sequence, bool isCaller)
        {
            if (began is { } before && first != sequence)
            {
                earlier.Add((before, Bytes()));
                parts.Clear();
            }

            (first, began) = (sequence, isCaller);
        }

        /// <summary>What is there without a gap, from the beginning.</summary>
        private byte[] Bytes()
        {
            using var all = new MemoryStream();
            foreach (var (at, content) in parts)
            {
                if (at > all.Length) break;
                if (at + content.Length > all.Length) all.Write(content.AsSpan((int)(all.Length - at)));
            }

            return all.ToArray();
        }
    }
}
