using System.Buffers.Binary;

namespace Mesh.Sidecar.Dns;

/// <summary>What is to be done with a message that came as a query.</summary>
internal enum QueryForm
{
    /// <summary>It can be answered.</summary>
    Good,

    /// <summary>Nobody must answer it: too short for an identifier, or an answer itself.</summary>
    Unanswerable,

    /// <summary>It is no message of DNS.</summary>
    Malformed,

    /// <summary>It asks for something nobody here does.</summary>
    NotImplemented,
}

/// <summary>
/// The parts of a query that decide where its answer comes from. Reading it follows no pointers and takes each byte once. A value.
/// </summary>
internal readonly record struct DnsQuery
{
    /// <summary>Identifier.</summary>
    public ushort Id { get; private init; }

    /// <summary>The second two bytes: opcode, RD, CD and the rest.</summary>
    public ushort Flags { get; private init; }

    /// <summary>Where the question ends; it begins after the header.</summary>
    public int QuestionEnd { get; private init; }

    /// <summary>Type asked for.</summary>
    public ushort Type { get; private init; }

    /// <summary>Class asked for.</summary>
    public ushort Class { get; private init; }

    /// <summary>Whether it speaks EDNS, the extensions by an OPT record.</summary>
    public bool HasEdns { get; private init; }

    /// <summary>Version of EDNS.</summary>
    public byte EdnsVersion { get; private init; }

    /// <summary>DNSSEC records are wanted (DO).</summary>
    public bool WantsDnssec { get; private init; }

    /// <summary>Longest answer over UDP.</summary>
    public int MostUdp { get; private init; }

    /// <summary>0 for a plain query.</summary>
    public int Opcode => (Flags >> 11) & 15;

    /// <summary>Bytes of the question.</summary>
    public int QuestionLength => QuestionEnd - DnsWire.Header;

    /// <summary>Reads a message; what is known of a bad one is enough to refuse it.</summary>
    public static QueryForm Read(ReadOnlySpan<byte> message, out DnsQuery query)
    {
        query = default;
        if (message.Length < DnsWire.Header) return QueryForm.Unanswerable;
        query = new DnsQuery { Id = Number(message, 0), Flags = Number(message, 2), QuestionEnd = DnsWire.Header, MostUdp = DnsWire.LeastUdp };
        if ((query.Flags & DnsWire.Response) != 0) return QueryForm.Unanswerable;
        // Updates and notices go to whom they were meant for; there is nobody for the rest.
        if (query.Opcode is not (DnsWire.Query or DnsWire.Notify or DnsWire.Update)) return QueryForm.NotImplemented;
        if (Number(message, 4) != 1) return QueryForm.Malformed;
        var at = DnsWire.Header;
        if (!SkipName(message, ref at, pointers: false) || at + 4 > message.Length) return QueryForm.Malformed;
        query = query with { Type = Number(message, at), Class = Number(message, at + 2), QuestionEnd = at + 4 };
        return ReadRecords(message, ref query) ? QueryForm.Good : QueryForm.Malformed;
    }

    /// <summary>
    /// The name asked for: labels in lower case with dots between. 0 for the root, and for names that have a byte in them that no name of the mesh has.
    /// </summary>
    public static int ReadName(ReadOnlySpan<byte> message, Span<byte> name)
    {
        var length = 0;
        for (var at = DnsWire.Header; message[at] is not 0 and var label; at += 1 + label)
        {
            if (length > 0) name[length++] = (byte)'.';
            foreach (var letter in message.Slice(at + 1, label))
            {
                if (letter is (byte)'.' or <= 32 or >= 127) return 0;
                name[length++] = letter is >= (byte)'A' and <= (byte)'Z' ? (byte)(letter + 32) : letter;
            }
        }

        return length;
    }

    /// <summary>Goes through the records after the question; all there is to know is in an OPT record.</summary>
    private static bool ReadRecords(ReadOnlySpan<byte> message, ref DnsQuery query)
    {
        var (others, additional) = (Number(message, 6) + Number(message, 8), Number(message, 10));
        var at = query.QuestionEnd;
        for (var i = 0; i < others + additional; i++)
        {
            var root = at < message.Length && message[at] == 0;
            if (!SkipName(message, ref at, pointers: true) || at + 10 > message.Length) return false;
            var (type, size, extended) = (Number(message, at), Number(message, at + 2), BinaryPrimitives.ReadUInt32BigEndian(message[(at + 4)..]));
            at += 10 + Number(message, at + 8);
            if (at > message.Length) return false;
            if (type != DnsWire.Opt) continue;
            if (i < others || !root || query.HasEdns) return false;
            query = query with { HasEdns = true, MostUdp = Math.Max(size, (ushort)DnsWire.LeastUdp), EdnsVersion = (byte)(extended >> 16), WantsDnssec = (extended & 0x8000) != 0 };
        }

        return true;
    }

    /// <summary>Steps over a name. A pointer ends it wherever it points to, so there is no way to go in circles.</summary>
    private static bool SkipName(ReadOnlySpan<byte> message, ref int at, bool pointers)
    {
        var begin = at;
        while (at < message.Length)
        {
            var label = message[at++];
            if (label == 0) return at - begin <= DnsWire.MostName;
            if (label > DnsWire.MostLabel)
            {
                at++;
                return pointers && label >= 0xC0 && at <= message.Length;
            }

            at += label;
        }

        return false;
    }

    private static ushort Number(ReadOnlySpan<byte> message, int at) => BinaryPrimitives.ReadUInt16BigEndian(message[at..]);
}

/// <summary>Numbers of the protocol.</summary>
internal static class DnsWire
{
    /// <summary>Bytes before the question.</summary>
    public const int Header = 12;

    /// <summary>Bytes of the longest name, as it travels.</summary>
    public const int MostName = 255;

    /// <summary>Bytes of the longest label.</summary>
    public const int MostLabel = 63;

    /// <summary>The longest message there can be.</summary>
    public const int MostMessage = 65535;

    /// <summary>What everybody takes over UDP.</summary>
    public const int LeastUdp = 512;

    /// <summary>Flag QR.</summary>
    public const ushort Response = 0x8000;

    /// <summary>Flag AA.</summary>
    public const ushort Authoritative = 0x0400;

    /// <summary>Flag TC.</summary>
    public const ushort Truncated = 0x0200;

    /// <summary>Flag RD.</summary>
    public const ushort RecursionDesired = 0x0100;

    /// <summary>Flag RA.</summary>
    public const ushort RecursionAvailable = 0x0080;

    /// <summary>Flag CD.</summary>
    public const ushort CheckingDisabled = 0x0010;

    /// <summary>Opcodes.</summary>
    public const int Query = 0, Notify = 4, Update = 5;

    /// <summary>The class of the internet.</summary>
    public const ushort Internet = 1;

    /// <summary>Record types.</summary>
    public const ushort A = 1, Soa = 6, Ptr = 12, Aaaa = 28, Opt = 41, Svcb = 64, Https = 65, Ixfr = 251, Axfr = 252, Any = 255;
}

/// <summary>Answers by code.</summary>
internal enum DnsCode
{
    /// <summary>NOERROR.</summary>
    None = 0,

    /// <summary>FORMERR.</summary>
    Malformed = 1,

    /// <summary>SERVFAIL.</summary>
    Failed = 2,

    /// <summary>NXDOMAIN.</summary>
    NoSuchName = 3,

    /// <summary>NOTIMP.</summary>
    NotImplemented = 4,

    /// <summary>REFUSED.</summary>
    Refused = 5,

    /// <summary>BADVERS: an extended code, its upper bits are in the OPT record.</summary>
    BadVersion = 16,
}
