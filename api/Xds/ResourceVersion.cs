using System.Security.Cryptography;
using System.Text;
using Google.Protobuf;

namespace Mesh.Api.Xds;

/// <summary>
/// Versions that are the content: equal resources have equal versions in every process and at every time, so nothing is sent
/// that did not change. Stateless.
/// </summary>
public static class ResourceVersion
{
    /// <summary>The bytes of a message, the same for equal messages. Maps that need reordering are reordered in a copy.</summary>
    public static ByteString Bytes(IMessage message)
    {
        var bytes = message.ToByteString();
        if (MapOrder.Holds(message))
            return bytes;
        var copy = message.Descriptor.Parser.ParseFrom(bytes);
        MapOrder.Establish(copy);
        return copy.ToByteString();
    }

    /// <summary>The version of one resource by its <see cref="Bytes"/>.</summary>
    public static string Of(ByteString bytes)
    {
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(bytes.Span, hash);
        return Text(hash);
    }

    /// <summary>The version of a set of resources by their names and versions, in whatever order they come.</summary>
    public static string OfSet(IEnumerable<KeyValuePair<string, string>> versionsByName)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (var (name, version) in versionsByName.OrderBy(r => r.Key, StringComparer.Ordinal))
        {
            // Lengths keep ("a", "bc") apart from ("ab", "c").
            hash.AppendData(Encoding.UTF8.GetBytes($"{name.Length}:{name}{version.Length}:{version}"));
        }

        return Text(hash.GetHashAndReset());
    }

    /// <summary>Ninety-six bits: no two resources of one mesh will ever share them by chance.</summary>
    private static string Text(ReadOnlySpan<byte> hash) => Convert.ToHexStringLower(hash[..12]);
}
