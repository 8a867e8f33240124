using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Text;

namespace Mesh.Sidecar.Identity;

/// <summary>
/// What the first message of a TLS client says of itself, read before TLS is spoken, to choose the filter chain: nothing of it is believed.
/// Immutable.
/// </summary>
/// <param name="ServerName">The server name; empty when there is none.</param>
/// <param name="Protocols">The protocols offered (ALPN), in the client's order.</param>
internal sealed record ClientHello(string ServerName, ImmutableArray<string> Protocols)
{
    /// <summary>The longest that is read: larger ones are taken for garbage.</summary>
    public const int MostBytes = 16 * 1024 + 512;

    private const byte HandshakeRecord = 22;
    private const byte HelloMessage = 1;
    private const int RecordHead = 5;
    private const int LargestRecord = 16 * 1024;
    private const int MostProtocols = 16;
    private const ushort ServerNameExtension = 0;
    private const ushort AlpnExtension = 16;

    /// <summary>Whether the bytes so far can be TLS at all: no other protocol here begins like this.</summary>
    public static bool MayBe(ReadOnlySpan<byte> bytes) =>
        !bytes.IsEmpty && bytes[0] == HandshakeRecord && (bytes.Length < 2 || bytes[1] == 3) && (bytes.Length < 3 || bytes[2] <= 4);

    /// <summary>
    /// Reads the hello in all bytes so far, however they are cut into records. True when it is whole or broken (then null); false when bytes are
    /// missing.
    /// </summary>
    public static bool TryRead(ReadOnlySpan<byte> bytes, out ClientHello? hello)
    {
        hello = null;
        var message = new byte[Math.Min(bytes.Length, MostBytes)];
        var length = 0;
        while (bytes.Length >= RecordHead)
        {
            var size = BinaryPrimitives.ReadUInt16BigEndian(bytes[3..]);
            if (!MayBe(bytes) || size is 0 or > LargestRecord) return true;
            var there = bytes[RecordHead..Math.Min(bytes.Length, RecordHead + size)];
            there.CopyTo(message.AsSpan(length));
            length += there.Length;
            if (length >= 4)
            {
                var wanted = 4 + ((message[1] << 16) | (message[2] << 8) | message[3]);
                if (message[0] != HelloMessage || wanted > MostBytes) return true;
                if (length >= wanted)
                {
                    hello = Parse(message.AsSpan(4, wanted - 4));
                    return true;
                }
            }

            if (bytes.Length < RecordHead + size) break;
            bytes = bytes[(RecordHead + size)..];
        }

        return false;
    }

    private static ClientHello? Parse(ReadOnlySpan<byte> body)
    {
        var reader = new Reader(body);
        // Version, random, session, ciphers, compression.
        if (!reader.Skip(2 + 32) || !reader.Vector(1, out _) || !reader.Vector(2, out _) || !reader.Vector(1, out _)) return null;
        if (reader.IsEmpty) return new ClientHello("", []);
        if (!reader.Vector(2, out var extensions) || !reader.IsEmpty) return null;
        var name = "";
        ImmutableArray<string> protocols = [];
        var rest = new Reader(extensions);
        while (!rest.IsEmpty)
        {
            if (!rest.Number(out var kind) || !rest.Vector(2, out var content)) return null;
            if (kind == ServerNameExtension && !ReadName(content, out name)) return null;
            if (kind == AlpnExtension && !ReadProtocols(content, out protocols)) return null;
        }

        return new ClientHello(name, protocols);
    }

    private static bool ReadName(ReadOnlySpan<byte> content, out string name)
    {
        name = "";
        var reader = new Reader(content);
        if (!reader.Vector(2, out var list) || !reader.IsEmpty) return false;
        var names = new Reader(list);
        if (!names.Skip(1) || !names.Vector(2, out var host) || host.IsEmpty || host.Length > 255) return false;
        name = Encoding.Latin1.GetString(host);
        return true;
    }

    private static bool ReadProtocols(ReadOnlySpan<byte> content, out ImmutableArray<string> protocols)
    {
        protocols = [];
        var reader = new Reader(content);
        if (!reader.Vector(2, out var list) || !reader.IsEmpty) return false;
        var found = ImmutableArray.CreateBuilder<string>();
        var rest = new Reader(list);
        while (!rest.IsEmpty)
        {
            if (!rest.Vector(1, out var protocol) || protocol.IsEmpty) return false;
            if (found.Count < MostProtocols) found.Add(Encoding.Latin1.GetString(protocol));
        }

        protocols = found.DrainToImmutable();
        return true;
    }

    /// <summary>Reads lengths and what they count, never beyond the end.</summary>
    private ref struct Reader(ReadOnlySpan<byte> bytes)
    {
        private ReadOnlySpan<byte> left = bytes;

        public readonly bool IsEmpty => left.IsEmpty;

        public bool Skip(int count)
        {
            if (left.Length < count) return false;
            left = left[count..];
            return true;
        }

        public bool Number(out ushort value)
        {
            value = left.Length < 2 ? (ushort)0 : BinaryPrimitives.ReadUInt16BigEndian(left);
            return Skip(2);
        }

        public bool Vector(int lengthBytes, out ReadOnlySpan<byte> content)
        {
            content = default;
            if (left.Length < lengthBytes) return false;
            var length = lengthBytes == 1 ? left[0] : BinaryPrimitives.ReadUInt16BigEndian(left);
            if (left.Length < lengthBytes + length) return false;
            content = left.Slice(lengthBytes, length);
            left = left[(lengthBytes + length)..];
            return true;
        }
    }
}
