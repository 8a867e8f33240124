using System.IO.Pipelines;

namespace Mesh.Sidecar.Http;

/// <summary>Writing into Kestrel's response pipe. Stateless.</summary>
internal static class PipeWriting
{
    /// <summary>
    /// Appends bytes. Not by BuffersExtensions.Write, which asks for a span of any size: Kestrel may hand out an empty one then (before
    /// the response starts, and when its client has gone), and the extension throws.
    /// </summary>
    public static void Append(this PipeWriter to, ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            var room = to.GetSpan(1);
            var count = Math.Min(room.Length, bytes.Length);
            bytes[..count].CopyTo(room);
            to.Advance(count);
            bytes = bytes[count..];
        }
    }
}
