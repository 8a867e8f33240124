using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Dns;

/// <summary>
/// Which address of some ranges a name gets: first the one its hash points at, so that the same name mostly gets the same one again whoever gives it
/// out, then others its hash points at, then the next free one. First and last address of a range are nobody's (network, broadcast). Pure.
/// </summary>
/// <param name="ranges">Ranges of one family.</param>
internal sealed class AddressChoice(ImmutableArray<IPNetwork> ranges)
{
    private const int Tries = 16;
    private readonly UInt128 total = ranges.Aggregate(UInt128.Zero, (sum, range) => sum + Usable(range));

    /// <summary>How many addresses there are.</summary>
    public UInt128 Total => total;

    /// <summary>The choice among the ranges of a family.</summary>
    public static AddressChoice Of(ImmutableArray<IPNetwork> ranges, AddressFamily family) =>
        new([.. ranges.Where(range => range.BaseAddress.AddressFamily == family)]);

    /// <summary>True for an address that can be given out.</summary>
    public bool Contains(IPAddress address) => ranges.Any(range => range.BaseAddress.AddressFamily == address.AddressFamily && range.Contains(address));

    /// <summary>An address that is not taken; null when all are.</summary>
    /// <param name="name">Who gets it.</param>
    /// <param name="taken">Addresses that are given out; at most <paramref name="takenCount"/> of these ranges.</param>
    /// <param name="takenCount">How many there are at most.</param>
    public IPAddress? For(ServiceName name, Func<IPAddress, bool> taken, int takenCount)
    {
        if (total == 0) return null;
        for (var attempt = 0; attempt < Tries; attempt++)
        {
            var address = At(Hash(name, attempt) % total);
            if (!taken(address)) return address;
        }

        // Of one address more than are taken one is free, unless there are no more.
        var start = Hash(name, 0) % total;
        for (UInt128 step = 0; step < total && step <= (UInt128)takenCount; step++)
        {
            var address = At((start + step) % total);
            if (!taken(address)) return address;
        }

        return null;
    }

    private IPAddress At(UInt128 index)
    {
        foreach (var range in ranges)
        {
            if (index < Usable(range)) return Address(range, index + (IsWhole(range) ? 0u : 1u));
            index -= Usable(range);
        }

        throw new ArgumentOutOfRangeException(nameof(index));
    }

    private static UInt128 Usable(IPNetwork range)
    {
        var bits = Bits(range) - range.PrefixLength;
        var all = bits >= 128 ? UInt128.MaxValue : UInt128.One << bits;
        return IsWhole(range) ? all : all - 2;
    }

    // Of one or two addresses none is left out, as in networks of that size.
    private static bool IsWhole(IPNetwork range) => Bits(range) - range.PrefixLength <= 1;

    private static int Bits(IPNetwork range) => range.BaseAddress.AddressFamily == AddressFamily.InterNetwork ? 32 : 128;

    private static IPAddress Address(IPNetwork range, UInt128 offset)
    {
        var bytes = range.BaseAddress.GetAddressBytes();
        if (bytes.Length == 4)
        {
            BinaryPrimitives.WriteUInt32BigEndian(bytes, BinaryPrimitives.ReadUInt32BigEndian(bytes) + (uint)offset);
            return new IPAddress(bytes);
        }

        BinaryPrimitives.WriteUInt128BigEndian(bytes, BinaryPrimitives.ReadUInt128BigEndian(bytes) + offset);
        return new IPAddress(bytes);
    }

    private static UInt128 Hash(ServiceName name, int attempt) =>
        BinaryPrimitives.ReadUInt128BigEndian(SHA256.HashData(Encoding.UTF8.GetBytes(attempt == 0 ? name.ToString() : $"{name}#{attempt}")));
}
