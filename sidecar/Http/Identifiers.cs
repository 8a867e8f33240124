using System.Diagnostics;
using Mesh.Sidecar.Resilience;
using Mesh.Sidecar.Telemetry;

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

    /// <summary>The trace header to send: the span's, or a new trace.</summary>
    public string TraceParent(string? incoming, Activity? span)
    {
        _ = random;
        return TraceContext.Next(incoming, span);
    }
}
