using System.Buffers.Binary;

namespace Mesh.EndToEnd.Tests.Testbed;

/// <summary>Looks at one direction of a connection as an outsider on the wire does: which TLS records, which version. Stateless.</summary>
internal static class TlsRecords
{
    private const byte ChangeCipherSpec = 20;
    private const byte Handshake = 22;
    private const byte ApplicationData = 23;
    private const int SupportedVersions = 43;
    private const int Tls13 = 0x0304;

    /// <summary>
    /// What is wrong with a stream that must be TLS 1.3 and nothing else: a hello in plaintext, then (but for the one record of the
    /// middlebox mode) only encrypted records. Null: nothing. The end may be cut off.
    /// </summary>
    public static string? Problem(byte[] stream, bool fromClient)
    {
        var rest = stream.AsSpan();
        var number = 0;
        while (rest.Length >= 5)
        {
            var (type, length) = (rest[0], BinaryPrimitives.ReadUInt16BigEndian(rest[3..]));
            if (rest[1] != 3) return $"record {number} is no TLS record: {Convert.ToHexString(rest[..Math.Min(16, rest.Length)])}";
            if (number == 0)
            {
                if (type != Handshake) return $"the first record has type {type}, not a handshake";
                if (rest.Length < 5 + length) return null;
                if (HelloProblem(rest.Slice(5, length), fromClient) is { } problem) return problem;
            }
            else if (type is not (ApplicationData or ChangeCipherSpec))
            {
                return $"record {number} has type {type}: after the hello all is encrypted in TLS 1.3";
            }

            if (rest.Length < 5 + length) return null;
            rest = rest[(5 + length)..];
            number++;
        }

        return number == 0 ? "there is no record at all" : null;
    }

    private static string? HelloProblem(ReadOnlySpan<byte> hello, bool fromClient)
    {
        if (hello[0] != (fromClient ? 1 : 2)) return $"the first handshake message has type {hello[0]}";
        // Header 4, version 2, random 32.
        var at = 38;
        at += 1 + hello[at]; // Session.
        at += fromClient ? 2 + BinaryPrimitives.ReadUInt16BigEndian(hello[at..]) : 2; // Cipher suites, or the one chosen.
        at += fromClient ? 1 + hello[at] : 1; // Compression.
        var extensions = hello.Slice(at + 2, BinaryPrimitives.ReadUInt16BigEndian(hello[at..]));
        while (extensions.Length >= 4)
        {
            var (type, length) = (BinaryPrimitives.ReadUInt16BigEndian(extensions), BinaryPrimitives.ReadUInt16BigEndian(extensions[2..]));
            var content = extensions.Slice(4, length);
            if (type == SupportedVersions) return VersionProblem(fromClient ? content[1..] : content);
            extensions = extensions[(4 + length)..];
        }

        return "the hello names no TLS 1.3 version";
    }

    private static string? VersionProblem(ReadOnlySpan<byte> versions)
    {
        for (; versions.Length >= 2; versions = versions[2..])
        {
            var version = BinaryPrimitives.ReadUInt16BigEndian(versions);
            // 0x?a?a is GREASE: a client's noise.
            if (version != Tls13 && (version & 0x0f0f) != 0x0a0a) return $"the hello offers or chooses version {version:x4}";
        }

        return null;
    }
}
