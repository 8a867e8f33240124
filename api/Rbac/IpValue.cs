using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;

namespace Mesh.Api.Rbac;

/// <summary>An IP address as a number, so that ranges are compared without memory. IPv4 in IPv6 clothes is IPv4. A value.</summary>
public readonly record struct IpValue
{
    private IpValue(UInt128 bits, int width)
    {
        Bits = bits;
        Width = width;
    }

    /// <summary>The address, right-aligned.</summary>
    public UInt128 Bits { get; }

    /// <summary>32, 128, or 0 when the address is not known.</summary>
    public int Width { get; }

    /// <summary>The number of an address; unknown for null.</summary>
    public static IpValue Of(IPAddress? address)
    {
        if (address is null) return default;
        Span<byte> bytes = stackalloc byte[16];
        if (!address.TryWriteBytes(bytes, out var count)) return default;
        if (address.AddressFamily == AddressFamily.InterNetwork) return new IpValue(BinaryPrimitives.ReadUInt32BigEndian(bytes), 32);
        if (address.IsIPv4MappedToIPv6) return new IpValue(BinaryPrimitives.ReadUInt32BigEndian(bytes[12..]), 32);
        return count == 16 ? new IpValue(BinaryPrimitives.ReadUInt128BigEndian(bytes), 128) : default;
    }
}
