using System.Security.Cryptography;
using Google.Protobuf;
using Mesh.Api.V1;

namespace Mesh.Sidecar.State;

/// <summary>
/// The bytes of a kept configuration: a heading with the version of the format, the message, and the SHA-256 of both. It tells damage from truth; it
/// does not tell who wrote it: the modes of folder and file do. Stateless.
/// </summary>
internal static class StateFile
{
    /// <summary>The largest file, in bytes: that of the largest answer a control plane may send.</summary>
    public const int Most = 64 * 1024 * 1024;

    private const int BufferSize = 64 * 1024;

    /// <summary>Writes without ever holding the whole.</summary>
    public static void Write(Stream stream, KeptConfiguration kept)
    {
        using var hash = SHA256.Create();
        using (var hashed = new CryptoStream(stream, hash, CryptoStreamMode.Write, leaveOpen: true))
        {
            hashed.Write(Heading);
            using (var output = new CodedOutputStream(hashed, BufferSize, leaveOpen: true)) kept.WriteTo(output);
            hashed.FlushFinalBlock();
        }

        stream.Write(hash.Hash);
    }

    /// <summary>Reads; throws <see cref="StateRefusedException"/> unless every byte is as it was written.</summary>
    public static KeptConfiguration Read(ReadOnlySpan<byte> content)
    {
        if (content.Length < Heading.Length + SHA256.HashSizeInBytes || !content.StartsWith(Name)) throw Damaged("is no kept configuration, or only the beginning of one");
        if (!content.StartsWith(Heading)) throw new StateRefusedException("format", "was written by another version of this program");
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(content[..^hash.Length], hash);
        if (!content.EndsWith(hash)) throw Damaged("is damaged: its SHA-256 is another");
        try
        {
            return KeptConfiguration.Parser.ParseFrom(content[Heading.Length..^hash.Length]);
        }
        catch (InvalidProtocolBufferException e)
        {
            throw Damaged($"cannot be read: {e.Message}");
        }
    }

    private static ReadOnlySpan<byte> Name => "mesh-sidecar kept configuration "u8;

    private static ReadOnlySpan<byte> Heading => "mesh-sidecar kept configuration 1\n"u8;

    private static StateRefusedException Damaged(string what) => new("damaged", what);
}
