using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;

namespace Mesh.Sidecar.Config;

/// <summary>
/// An address and port that somebody meant to connect to, as numbers that compare quickly. IPv4 is what IPv6 maps it to, so both kinds of
/// sockets say the same. A value.
/// </summary>
public readonly record struct Destination(ulong High, ulong Low, int Port)
{
    /// <summary>Bits of an address here.</summary>
    public const int Bits = 128;

    /// <summary>Bits before those of an IPv4 address.</summary>
    public const int MappedBits = 96;

    /// <summary>The destination of an endpoint.</summary>
    public static Destination Of(IPEndPoint endpoint) => Of(endpoint.Address, endpoint.Port);

    /// <summary>The destination of an address and a port. Scopes of link-local addresses are not told apart.</summary>
    public static Destination Of(IPAddress address, int port)
    {
        Span<byte> bytes = stackalloc byte[16];
        address.TryWriteBytes(bytes, out var length);
        return Of(bytes[..length], port);
    }

    /// <summary>The destination of an address as it travels, 4 or 16 bytes, and a port.</summary>
    public static Destination Of(ReadOnlySpan<byte> address, int port)
    {
        Span<byte> bytes = stackalloc byte[16];
        bytes.Clear();
        if (address.Length == 4) bytes[10] = bytes[11] = 0xff;
        address.CopyTo(bytes[^address.Length..]);
        return new Destination(BinaryPrimitives.ReadUInt64BigEndian(bytes), BinaryPrimitives.ReadUInt64BigEndian(bytes[8..]), port);
    }

    /// <summary>The first <paramref name="length"/> bits of the address, the rest zero.</summary>
    public Destination First(int length) => length switch
    {
        >= Bits => this,
        >= 64 => this with { Low = length == 64 ? 0 : Low & (ulong.MaxValue << (Bits - length)) },
        _ => this with { High = length == 0 ? 0 : High & (ulong.MaxValue << (64 - length)), Low = 0 },
    };
}

/// <summary>A range of addresses (CIDR). A value.</summary>
/// <param name="Address">Its first address; the port is not used.</param>
/// <param name="Length">How many of the 128 bits are fixed.</param>
public readonly record struct AddressPrefix(Destination Address, int Length)
{
    /// <summary>The range of a written address and length, bits beyond the length dropped; null when the length is not one.</summary>
    public static AddressPrefix? Of(IPAddress address, uint length)
    {
        var mapped = address.AddressFamily == AddressFamily.InterNetwork ? Destination.MappedBits : 0;
        if (length > Destination.Bits - mapped) return null;
        var bits = (int)length + mapped;
        return new AddressPrefix(Destination.Of(address, 0).First(bits), bits);
    }

    /// <summary>Whether an address lies in it.</summary>
    public bool Holds(Destination destination) => (destination with { Port = 0 }).First(Length) == Address;
}
