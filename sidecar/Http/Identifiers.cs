using System.Diagnostics;
using Mesh.Sidecar.Resilience;

namespace Mesh.Sidecar.Http;

/// <summary>Makes identifiers for requests that came without. They are no secrets. Thread safe.</summary>
internal sealed class Identifiers(Randomness random)
{
    /// <summary>A random UUID (version 4), as meshes put into x-request-id.</summary>
    public string RequestId()
    {
        Span<byte> bytes = stackalloc byte[16];
        BitConverter.TryWriteBytes(bytes, random.NextBits());
        BitConverter.TryWriteBytes(bytes[8..], random.NextBits());
        bytes[7] = (byte)((bytes[7] & 0x0f) | 0x40); // Guid's third group is little endian
        bytes[8] = (byte)((bytes[8] & 0x3f) | 0x80);
        return new Guid(bytes).ToString("D");
    }

    /// <summary>The trace header to send: the span's, or a new trace that nobody sampled, so that logs of both ends can be joined.</summary>
    public string TraceParent(Activity? span) => span?.Id ?? string.Create(55, this, static (text, self) =>
    {
        "00-".CopyTo(text);
        // Neither id may be all zero.
        self.Hex(text.Slice(3, 16), 1);
        self.Hex(text.Slice(19, 16), 0);
        text[35] = '-';
        self.Hex(text.Slice(36, 16), 1);
        "-00".CopyTo(text[52..]);
    });

    private void Hex(Span<char> into, ulong atLeast)
    {
        Span<byte> bytes = stackalloc byte[8];
        BitConverter.TryWriteBytes(bytes, random.NextBits() | atLeast);
        Convert.TryToHexStringLower(bytes, into, out _);
    }
}
