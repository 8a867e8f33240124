using System.Buffers.Binary;

namespace Mesh.Sidecar.Listening;

/// <summary>What the first bytes of a server tell.</summary>
internal enum Greeting
{
    /// <summary>Too few bytes to tell.</summary>
    NeedMore,

    /// <summary>What a server of HTTP says unasked: a refusal (408), its SETTINGS, an alert of TLS.</summary>
    OfHttp,

    /// <summary>What no server of HTTP says first: its protocol lets the server begin.</summary>
    Other,
}

/// <summary>Tells servers that speak first from servers of HTTP that say something unasked. Pure.</summary>
internal static class ServerGreeting
{
    private const int FrameHead = 9;
    private const int LargestFrame = 16 * 1024;
    private const byte Settings = 4;
    private const byte GoAway = 7;

    private static ReadOnlySpan<byte> StatusLine => "HTTP/"u8;

    /// <summary>Looks at all bytes so far; there is at least one.</summary>
    public static Greeting Look(ReadOnlySpan<byte> bytes)
    {
        var shared = Math.Min(bytes.Length, StatusLine.Length);
        if (bytes[..shared].SequenceEqual(StatusLine[..shared])) return shared == StatusLine.Length ? Greeting.OfHttp : Greeting.NeedMore;
        // A record of TLS: nobody begins with one but a server that has waited for a hello.
        if (bytes[0] is >= 20 and <= 23) return bytes.Length < 2 ? Greeting.NeedMore : bytes[1] == 3 ? Greeting.OfHttp : Greeting.Other;
        return Frame(bytes);
    }

    /// <summary>The head of a frame for the connection itself: length, type, flags, stream 0.</summary>
    private static Greeting Frame(ReadOnlySpan<byte> bytes)
    {
        Span<byte> head = stackalloc byte[FrameHead];
        head.Clear();
        // Whatever has not come is taken for what would make it a frame.
        head[3] = Settings;
        bytes[..Math.Min(bytes.Length, FrameHead)].CopyTo(head);
        var length = (head[0] << 16) | BinaryPrimitives.ReadUInt16BigEndian(head[1..]);
        var stream = BinaryPrimitives.ReadUInt32BigEndian(head[5..]);
        var isFrame = length <= LargestFrame && head[3] is Settings or GoAway && head[4] == 0 && stream == 0;
        if (bytes.Length >= 3 && head[3] == Settings && length % 6 != 0) isFrame = false;
        return !isFrame ? Greeting.Other : bytes.Length < FrameHead ? Greeting.NeedMore : Greeting.OfHttp;
    }
}
