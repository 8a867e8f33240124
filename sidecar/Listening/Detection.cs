using System.Buffers;

namespace Mesh.Sidecar.Listening;

/// <summary>What the first bytes of a connection speak.</summary>
internal enum Detected
{
    /// <summary>Too few bytes to tell.</summary>
    NeedMore,

    /// <summary>HTTP/1.1 (or a later 1.x).</summary>
    Http11,

    /// <summary>HTTP/1.0.</summary>
    Http10,

    /// <summary>HTTP/1 with the method CONNECT.</summary>
    Connect,

    /// <summary>HTTP/2 by prior knowledge.</summary>
    Http2,

    /// <summary>TLS, with its hello whole.</summary>
    Tls,

    /// <summary>Something else.</summary>
    Other,
}

/// <summary>Tells protocols apart by their first bytes, however these are cut. Pure.</summary>
internal static class Detection
{
    /// <summary>Bytes beyond which a request line is taken for HTTP without having been seen whole; the engine refuses it then.</summary>
    public const int MostBytes = 8 * 1024 + 64;
    private const int LongestMethod = 32;
    private static readonly SearchValues<byte> MethodBytes = SearchValues.Create("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"u8);
    private static readonly SearchValues<byte> Controls =
        SearchValues.Create("\0\u0001\u0002\u0003\u0004\u0005\u0006\u0007\u0008\t\u000b\u000c\u000e\u000f\u0010\u0011\u0012\u0013\u0014\u0015\u0016\u0017\u0018\u0019\u001a\u001b\u001c\u001d\u001e\u001f\u007f"u8);

    private static ReadOnlySpan<byte> Preface => "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"u8;

    /// <summary>Looks at all bytes so far.</summary>
    public static Detected Look(ReadOnlySpan<byte> bytes)
    {
        var shared = Math.Min(bytes.Length, Preface.Length);
        if (bytes[..shared].SequenceEqual(Preface[..shared])) return shared == Preface.Length ? Detected.Http2 : Detected.NeedMore;
        var space = bytes.IndexOf((byte)' ');
        var method = space < 0 ? bytes : bytes[..space];
        if (method.Length > LongestMethod || method.ContainsAnyExcept(MethodBytes) || space == 0) return Detected.Other;
        var end = bytes.IndexOf((byte)'\n');
        var line = end < 0 ? bytes : bytes[..end];
        if (line.ContainsAny(Controls)) return Detected.Other;
        if (end < 0) return bytes.Length >= MostBytes ? Detected.Http11 : Detected.NeedMore;
        return space < 0 ? Detected.Other : Whole(line.TrimEnd((byte)'\r'), method);
    }

    private static Detected Whole(ReadOnlySpan<byte> line, ReadOnlySpan<byte> method)
    {
        var version = line[(line.LastIndexOf((byte)' ') + 1)..];
        if (!version.StartsWith("HTTP/"u8)) return Detected.Other;
        if (method.SequenceEqual("CONNECT"u8)) return Detected.Connect;
        return version.SequenceEqual("HTTP/1.0"u8) ? Detected.Http10 : Detected.Http11;
    }
}
