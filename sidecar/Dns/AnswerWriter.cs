using System.Buffers.Binary;

namespace Mesh.Sidecar.Dns;

/// <summary>
/// Writes an answer to a query into a buffer: the question as it was asked, letter by letter, and records under its name. Keeps room for what has to
/// stand at the end; a record that does not fit sets TC. One thread, one answer.
/// </summary>
internal ref struct AnswerWriter
{
    private const ushort Pointer = 0xC000 | DnsWire.Header;
    private const int RecordHead = 12;
    private const int OptRecord = 11;

    /// <summary>What we take over UDP, and say so: fits any path without fragments.</summary>
    private const ushort OwnUdp = 1232;

    private readonly Span<byte> buffer;
    private readonly DnsQuery query;
    private readonly int end;
    private int length;
    private ushort answers;
    private ushort authorities;
    private ushort flags;

    private AnswerWriter(Span<byte> buffer, DnsQuery query)
    {
        this.buffer = buffer;
        this.query = query;
        end = buffer.Length - (query.HasEdns ? OptRecord : 0);
    }

    /// <summary>Begins an answer; <paramref name="buffer"/> is as long as the answer may be, and at least 512.</summary>
    public static AnswerWriter Begin(Span<byte> buffer, ReadOnlySpan<byte> message, DnsQuery query)
    {
        var writer = new AnswerWriter(buffer, query) { flags = DnsWire.Authoritative, length = query.QuestionEnd };
        message[..query.QuestionEnd].CopyTo(buffer);
        return writer;
    }

    /// <summary>A refusal: no more than the query's own header and question, so nobody is made a weapon by it.</summary>
    public static int Refuse(Span<byte> buffer, ReadOnlySpan<byte> message, DnsQuery query, DnsCode code)
    {
        message[..query.QuestionEnd].CopyTo(buffer);
        var writer = new AnswerWriter(buffer, query) { length = query.QuestionEnd };
        return writer.End(code);
    }

    /// <summary>Adds an address; false, and TC, when it does not fit.</summary>
    public bool Add(ushort type, scoped ReadOnlySpan<byte> address, uint ttl)
    {
        if (length + RecordHead + address.Length > end)
        {
            flags |= DnsWire.Truncated;
            return false;
        }

        Head(type, ttl, address.Length);
        address.CopyTo(buffer[length..]);
        length += address.Length;
        answers++;
        return true;
    }

    /// <summary>Adds the name of an address' owner: labels with dots between, 253 bytes at most.</summary>
    public void AddName(scoped ReadOnlySpan<byte> name, uint ttl)
    {
        Head(DnsWire.Ptr, ttl, name.Length + 2);
        foreach (var label in name.Split((byte)'.'))
        {
            var text = name[label];
            buffer[length++] = (byte)text.Length;
            text.CopyTo(buffer[length..]);
            length += text.Length;
        }

        buffer[length++] = 0;
        answers++;
    }

    /// <summary>Says that there is nothing of this type, and how long that holds: the name itself stands for its zone.</summary>
    public void AddNothing(uint ttl)
    {
        const int Soa = 2 + 2 + (5 * 4);
        if (length + RecordHead + Soa > end) return;
        Head(DnsWire.Soa, ttl, Soa);
        BinaryPrimitives.WriteUInt16BigEndian(buffer[length..], Pointer);
        BinaryPrimitives.WriteUInt16BigEndian(buffer[(length + 2)..], Pointer);
        length += 4;
        foreach (var number in (ReadOnlySpan<uint>)[1, ttl, ttl, ttl, ttl])
        {
            BinaryPrimitives.WriteUInt32BigEndian(buffer[length..], number);
            length += 4;
        }

        authorities++;
    }

    /// <summary>Writes header and OPT; the length of the whole.</summary>
    public int End(DnsCode code)
    {
        var kept = query.Flags & (DnsWire.RecursionDesired | DnsWire.CheckingDisabled | 0x7800);
        BinaryPrimitives.WriteUInt16BigEndian(buffer, query.Id);
        BinaryPrimitives.WriteUInt16BigEndian(buffer[2..], (ushort)(DnsWire.Response | DnsWire.RecursionAvailable | flags | kept | ((int)code & 15)));
        BinaryPrimitives.WriteUInt16BigEndian(buffer[4..], (ushort)(query.QuestionEnd > DnsWire.Header ? 1 : 0));
        BinaryPrimitives.WriteUInt16BigEndian(buffer[6..], answers);
        BinaryPrimitives.WriteUInt16BigEndian(buffer[8..], authorities);
        BinaryPrimitives.WriteUInt16BigEndian(buffer[10..], (ushort)(query.HasEdns ? 1 : 0));
        if (!query.HasEdns) return length;
        buffer[length] = 0;
        BinaryPrimitives.WriteUInt16BigEndian(buffer[(length + 1)..], DnsWire.Opt);
        BinaryPrimitives.WriteUInt16BigEndian(buffer[(length + 3)..], OwnUdp);
        BinaryPrimitives.WriteUInt32BigEndian(buffer[(length + 5)..], ((uint)code >> 4 << 24) | (query.WantsDnssec ? 0x8000u : 0));
        BinaryPrimitives.WriteUInt16BigEndian(buffer[(length + 9)..], 0);
        return length + OptRecord;
    }

    private void Head(ushort type, uint ttl, int data)
    {
        BinaryPrimitives.WriteUInt16BigEndian(buffer[length..], Pointer);
        BinaryPrimitives.WriteUInt16BigEndian(buffer[(length + 2)..], type);
        BinaryPrimitives.WriteUInt16BigEndian(buffer[(length + 4)..], DnsWire.Internet);
        BinaryPrimitives.WriteUInt32BigEndian(buffer[(length + 6)..], ttl);
        BinaryPrimitives.WriteUInt16BigEndian(buffer[(length + 10)..], (ushort)data);
        length += RecordHead;
    }
}
