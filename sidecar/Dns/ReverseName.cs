using System.Buffers.Text;
using System.Globalization;

namespace Mesh.Sidecar.Dns;

/// <summary>The address in a name that asks whose it is: <c>4.3.2.1.in-addr.arpa</c>, and 32 digits before <c>.ip6.arpa</c>. Stateless.</summary>
internal static class ReverseName
{
    private static ReadOnlySpan<byte> V4Suffix => ".in-addr.arpa"u8;

    private static ReadOnlySpan<byte> V6Suffix => ".ip6.arpa"u8;

    /// <summary>Reads a name (lower case, dots between labels) into <paramref name="address"/> (16 bytes); the address' length, 0 for other names.</summary>
    public static int Read(ReadOnlySpan<byte> name, Span<byte> address)
    {
        if (name.EndsWith(V4Suffix)) return ReadV4(name[..^V4Suffix.Length], address) ? 4 : 0;
        return name.EndsWith(V6Suffix) && ReadV6(name[..^V6Suffix.Length], address) ? 16 : 0;
    }

    private static bool ReadV4(ReadOnlySpan<byte> labels, Span<byte> address)
    {
        var at = 4;
        foreach (var range in labels.Split((byte)'.'))
        {
            var label = labels[range];
            if (--at < 0 || !Utf8Parser.TryParse(label, out address[at], out var read) || read != label.Length || (label.Length > 1 && label[0] == '0')) return false;
        }

        return at == 0;
    }

    /// <summary>A digit and a dot in turn, the last digit of the address first.</summary>
    private static bool ReadV6(ReadOnlySpan<byte> labels, Span<byte> address)
    {
        if (labels.Length != 63) return false;
        address.Clear();
        for (var i = 0; i < 32; i++)
        {
            if (!byte.TryParse(labels.Slice(i * 2, 1), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var digit)) return false;
            if (i < 31 && labels[(i * 2) + 1] != '.') return false;
            address[15 - (i / 2)] |= (byte)(i % 2 == 0 ? digit : digit << 4);
        }

        return true;
    }
}
