using System.Buffers;
using System.Globalization;
using System.Net;

namespace Mesh.Sidecar.Http;

/// <summary>Takes the request target apart without decoding anything (RFC 9112 §3.2). Pure.</summary>
internal static class RequestTarget
{
    private static readonly SearchValues<char> TargetChars = SearchValues.Create(
        "!\"$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~");

    // unreserved, sub-delims without the comma (two hosts in one field) and percent-encoding
    private static readonly SearchValues<char> HostChars = SearchValues.Create(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+;=%");

    /// <summary>
    /// Splits the raw target of a request into the authority to route by and the origin-form to send.
    /// Returns null when all is well, else what is wrong.
    /// </summary>
    public static string? Parse(string method, string raw, string host, out string authority, out string target, out bool absolute)
    {
        authority = host;
        target = raw;
        absolute = false;
        if (raw.Length == 0 || raw.AsSpan().ContainsAnyExcept(TargetChars)) return "the request target holds a character that is not allowed";
        if (raw[0] == '/' || (raw == "*" && method == "OPTIONS")) return null;
        if (!raw.StartsWith("http://", StringComparison.OrdinalIgnoreCase)) return "the request target is neither a path nor an http:// URL";
        absolute = true;
        var rest = raw.AsSpan("http://".Length);
        var end = rest.IndexOfAny('/', '?');
        authority = (end < 0 ? rest : rest[..end]).ToString();
        // An empty path is "/", and "*" for OPTIONS (RFC 9112 §3.2.4).
        if (end < 0) target = method == "OPTIONS" ? "*" : "/";
        else target = rest[end] == '/' ? raw["http://".Length..][end..] : string.Concat("/", rest[end..]);
        return authority.Length == 0 ? "the request target names no host" : null;
    }

    /// <summary>True for <c>host</c> or <c>host:port</c> with a name, an IPv4 address or a bracketed IPv6 address; no userinfo, no list.</summary>
    public static bool IsAuthority(ReadOnlySpan<char> authority)
    {
        if (!TrySplit(authority, out var host, out _)) return false;
        if (host.IsEmpty || host.Length > 255) return false;
        if (host[0] == '[') return host.Length > 2 && IPAddress.TryParse(host[1..^1], out var v6) && v6.AddressFamily == System.Net.Sockets.AddressFamily.InterNetworkV6;
        return !host.ContainsAnyExcept(HostChars);
    }

    /// <summary>Splits off the port; -1 when there is none. False when the port is no number up to 65535.</summary>
    public static bool TrySplit(ReadOnlySpan<char> authority, out ReadOnlySpan<char> host, out int port)
    {
        host = authority;
        port = -1;
        var bracket = authority.LastIndexOf(']');
        var colon = authority.LastIndexOf(':');
        if (colon <= bracket) return bracket < 0 || bracket == authority.Length - 1;
        if (bracket >= 0 && colon != bracket + 1) return false;
        host = authority[..colon];
        var digits = authority[(colon + 1)..];
        return digits.Length is > 0 and <= 5 && int.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out port) && port <= 65535;
    }
}
