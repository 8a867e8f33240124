using System.Buffers.Binary;
using System.Net;
using System.Text;

namespace Mesh.Sidecar.Tests.Dns;

/// <summary>Messages of DNS as tests write and read them; nothing of it is the code under test.</summary>
internal static class Messages
{
    public const ushort A = 1;
    public const ushort Soa = 6;
    public const ushort Ptr = 12;
    public const ushort Aaaa = 28;
    public const ushort Srv = 33;
    public const ushort Any = 255;

    /// <summary>A query; <paramref name="udp"/> above 0 adds EDNS.</summary>
    public static byte[] Query(string name, ushort type = A, ushort id = 0x1234, int udp = 0, bool dnssec = false, byte version = 0, ushort kind = 1, ushort flags = 0x0100)
    {
        var bytes = new List<byte>();
        Number(bytes, id);
        Number(bytes, flags);
        foreach (var count in new[] { 1, 0, 0, udp > 0 ? 1 : 0 }) Number(bytes, count);
        bytes.AddRange(Name(name));
        Number(bytes, type);
        Number(bytes, kind);
        if (udp == 0) return [.. bytes];
        bytes.Add(0);
        Number(bytes, 41);
        Number(bytes, udp);
        bytes.AddRange([0, version, (byte)(dnssec ? 0x80 : 0), 0, 0, 0]);
        return [.. bytes];
    }

    /// <summary>An answer to a query, as a resolver gives it.</summary>
    public static byte[] Answer(ReadOnlySpan<byte> query, byte code = 0, params string[] addresses)
    {
        var end = QuestionEnd(query);
        var bytes = new List<byte>(query[..end].ToArray());
        bytes[2] |= 0x80;
        bytes[3] = (byte)(0x80 | code);
        (bytes[6], bytes[7], bytes[10], bytes[11]) = (0, (byte)addresses.Length, 0, 0);
        foreach (var address in addresses.Select(IPAddress.Parse))
        {
            bytes.AddRange([0xC0, 12, 0, (byte)(address.GetAddressBytes().Length == 4 ? 1 : 28), 0, 1, 0, 0, 0, 60]);
            Number(bytes, address.GetAddressBytes().Length);
            bytes.AddRange(address.GetAddressBytes());
        }

        return [.. bytes];
    }

    /// <summary>The question's name as it was asked.</summary>
    public static string NameOf(ReadOnlySpan<byte> message)
    {
        var labels = new List<string>();
        for (var at = 12; message[at] != 0; at += 1 + message[at]) labels.Add(Encoding.ASCII.GetString(message.Slice(at + 1, message[at])));
        return string.Join('.', labels);
    }

    /// <summary>An answer read: everything has to add up.</summary>
    public static Read Of(ReadOnlySpan<byte> message)
    {
        var flags = BinaryPrimitives.ReadUInt16BigEndian(message[2..]);
        Assert.True((flags & 0x8000) != 0, "no answer");
        int[] counts = [U16(message, 4), U16(message, 6), U16(message, 8), U16(message, 10)];
        var at = counts[0] == 1 ? QuestionEnd(message) : 12;
        var (addresses, types, udp, extended) = (new List<string>(), new List<ushort>(), 0, 0);
        for (var i = 0; i < counts[1] + counts[2] + counts[3]; i++)
        {
            at += message[at] >= 0xC0 ? 2 : 1; // our names: a pointer, or the root
            var (type, size, ttl, length) = (U16(message, at), U16(message, at + 2), BinaryPrimitives.ReadUInt32BigEndian(message[(at + 4)..]), U16(message, at + 8));
            at += 10;
            types.Add(type);
            if (type is A or Aaaa)
            {
                Assert.Equal((1, 30u), (size, ttl));
                addresses.Add(new IPAddress(message.Slice(at, length)).ToString());
            }

            if (type == 41) (udp, extended) = (size, (int)(ttl >> 24));
            at += length;
        }

        Assert.Equal(message.Length, at);
        return new Read(U16(message, 0), (extended << 4) | (flags & 15), (flags & 0x0200) != 0, [.. addresses], [.. types]) { Flags = flags, Udp = udp, Asked = counts[0] == 1 ? NameOf(message) : "" };
    }

    public static int QuestionEnd(ReadOnlySpan<byte> message)
    {
        var at = 12;
        while (message[at] != 0) at += 1 + message[at];
        return at + 5;
    }

    private static IEnumerable<byte> Name(string name)
    {
        foreach (var label in name.Split('.', StringSplitOptions.RemoveEmptyEntries))
        {
            yield return (byte)label.Length;
            foreach (var letter in label) yield return (byte)letter;
        }

        yield return 0;
    }

    private static ushort U16(ReadOnlySpan<byte> message, int at) => BinaryPrimitives.ReadUInt16BigEndian(message[at..]);

    private static void Number(List<byte> bytes, int number) => bytes.AddRange([(byte)(number >> 8), (byte)number]);
}

/// <summary>An answer read.</summary>
internal sealed record Read(ushort Id, int Code, bool Truncated, string[] Addresses, ushort[] Types)
{
    public int Flags { get; init; }

    public int Udp { get; init; }

    public string Asked { get; init; } = "";
}
