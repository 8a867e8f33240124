using System.Buffers;
using System.Text;
using System.Text.Unicode;

namespace Mesh.Api.Rbac;

/// <summary>The long way to a canonical path: decodes, checks, encodes again, and lists the readings. Pure.</summary>
internal static class PathDecoder
{
    private const string Digits = "0123456789ABCDEF";

    /// <summary>Bytes that stand for themselves in a path.</summary>
    private static readonly SearchValues<byte> Themselves =
        SearchValues.Create("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,;=:@/"u8);

    /// <summary>The readings one behind the other and their lengths, or null and the reason.</summary>
    public static (char[] Chars, int[] Lengths)? Read(ReadOnlySpan<char> path, out string? problem)
    {
        problem = path.Length == 0 || path[0] != '/' ? "the path does not begin with /" : null;
        if (problem is not null) return null;
        var bytes = ArrayPool<byte>.Shared.Rent(path.Length);
        try
        {
            var count = Decode(path, bytes, out problem);
            problem ??= WrongWith(bytes.AsSpan(0, count));
            return problem is null ? List(bytes.AsSpan(0, count)) : null;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(bytes);
        }
    }

    /// <summary>What a rule says, in canonical form, or null and the reason.</summary>
    public static string? Pattern(string text, PathPattern kind, out string? problem)
    {
        problem = null;
        if (text == "*" && kind == PathPattern.Exact) return text;
        if (text.Length == 0) problem = "is empty";
        else if (kind is PathPattern.Exact or PathPattern.Prefix && text[0] != '/') problem = "does not begin with /";
        else if (text.Contains('?', StringComparison.Ordinal)) problem = "holds a ?: a query is not part of the path";
        else if (text.Contains(';', StringComparison.Ordinal)) problem = "holds a ;: rules hold for a path with and without parameters, and cannot tell them";
        if (problem is not null) return null;
        var raw = Escaped(text);
        var bytes = new byte[raw.Length];
        var count = Decode(raw, bytes, out problem);
        problem ??= WrongWith(bytes.AsSpan(0, count), kind);
        if (problem is null && bytes.AsSpan(0, count).IndexOf("//"u8) >= 0) problem = "holds an empty segment: rules hold for a path as it is and with slashes merged";
        if (problem is not null) return null;
        var chars = new char[count * 3];
        return new string(chars, 0, Encode(bytes.AsSpan(0, count), chars));
    }

    /// <summary>People write /a b and /café in rules; on the wire those are %20 and %C3%A9.</summary>
    private static string Escaped(string text)
    {
        if (Ascii.IsValid(text) && !text.Contains(' ', StringComparison.Ordinal)) return text;
        var escaped = new StringBuilder(text.Length + 16);
        foreach (var b in Encoding.UTF8.GetBytes(text))
        {
            if (b is > 0x20 and < 0x7f) escaped.Append((char)b);
            else escaped.Append('%').Append(Digits[b >> 4]).Append(Digits[b & 15]);
        }

        return escaped.ToString();
    }

    private static int Decode(ReadOnlySpan<char> path, Span<byte> bytes, out string? problem)
    {
        var count = 0;
        problem = null;
        for (var i = 0; i < path.Length; i++)
        {
            var c = path[i];
            if (c == '%')
            {
                if (i + 2 >= path.Length || !char.IsAsciiHexDigit(path[i + 1]) || !char.IsAsciiHexDigit(path[i + 2])) problem = "the path holds a malformed percent-encoding";
                else c = (char)((Value(path[i + 1]) << 4) | Value(path[i + 2]));
                if (c is '/' or '\\') problem = "the path holds an encoded slash or backslash";
                i += 2;
            }
            else if (c is '\\') problem = "the path holds a backslash";
            else if (c is '#') problem = "the path holds a fragment";
            else if (c is <= ' ' or >= '\x7f') problem = "the path holds a character that is not allowed there";
            if (problem is not null) return 0;
            bytes[count++] = (byte)c;
        }

        return count;
    }

    private static int Value(char digit) => digit <= '9' ? digit - '0' : (digit | 0x20) - 'a' + 10;

    /// <summary>Looks at what was decoded; a prefix may end, and a suffix begin, in the middle of a segment.</summary>
    private static string? WrongWith(ReadOnlySpan<byte> bytes, PathPattern kind = PathPattern.Exact)
    {
        if (bytes.ContainsAnyInRange((byte)0, (byte)0x1f) || bytes.Contains((byte)0x7f)) return "the path holds an encoded control character";
        if (!Utf8.IsValid(bytes)) return "the path is not UTF-8";
        if (IsEncodedTwice(bytes)) return "the path is percent-encoded twice";
        var (first, last) = (kind is PathPattern.Suffix or PathPattern.Contains, kind is PathPattern.Prefix or PathPattern.Contains);
        while (true)
        {
            var end = bytes.IndexOf((byte)'/');
            var segment = end < 0 ? bytes : bytes[..end];
            if (!first && !(last && end < 0) && IsDots(segment)) return "the path holds a dot segment";
            if (end < 0) return null;
            first = false;
            bytes = bytes[(end + 1)..];
        }
    }

    private static bool IsEncodedTwice(ReadOnlySpan<byte> bytes)
    {
        for (int at; (at = bytes.IndexOf((byte)'%')) >= 0; bytes = bytes[(at + 1)..])
        {
            if (at + 2 < bytes.Length && char.IsAsciiHexDigit((char)bytes[at + 1]) && char.IsAsciiHexDigit((char)bytes[at + 2])) return true;
        }

        return false;
    }

    /// <summary>"." or "..", with or without parameters behind it: some servers take <c>..;a=b</c> for "..".</summary>
    private static bool IsDots(ReadOnlySpan<byte> segment)
    {
        var parameters = segment.IndexOf((byte)';');
        var name = parameters < 0 ? segment : segment[..parameters];
        return name.SequenceEqual("."u8) || name.SequenceEqual(".."u8);
    }

    private static (char[] Chars, int[] Lengths) List(ReadOnlySpan<byte> bytes)
    {
        var most = bytes.Length;
        foreach (var b in bytes) most += Themselves.Contains(b) ? 0 : 2;
        var chars = ArrayPool<char>.Shared.Rent(most * 4);
        var lengths = new int[4];
        var first = chars.AsSpan(0, lengths[0] = Encode(bytes, chars));
        var rest = chars.AsSpan(first.Length);
        var stripped = first;
        if (first.Contains(';'))
        {
            lengths[1] = WithoutParameters(first, rest);
            stripped = rest[..lengths[1]];
            rest = rest[lengths[1]..];
        }

        if (HasEmptySegment(first))
        {
            lengths[2] = Merged(first, rest);
            rest = rest[lengths[2]..];
        }

        if (lengths[1] > 0 && HasEmptySegment(stripped)) lengths[3] = Merged(stripped, rest);
        return (chars, lengths);
    }

    private static bool HasEmptySegment(ReadOnlySpan<char> path) => path.IndexOf("//", StringComparison.Ordinal) >= 0;

    private static int Encode(ReadOnlySpan<byte> bytes, Span<char> chars)
    {
        var count = 0;
        foreach (var b in bytes)
        {
            if (Themselves.Contains(b))
            {
                chars[count++] = (char)b;
                continue;
            }

            chars[count++] = '%';
            chars[count++] = Digits[b >> 4];
            chars[count++] = Digits[b & 15];
        }

        return count;
    }

    private static int WithoutParameters(ReadOnlySpan<char> path, Span<char> to)
    {
        var (count, inside) = (0, false);
        foreach (var c in path)
        {
            if (c is ';' or '/') inside = c == ';';
            if (!inside) to[count++] = c;
        }

        return count;
    }

    private static int Merged(ReadOnlySpan<char> path, Span<char> to)
    {
        var count = 0;
        foreach (var c in path)
        {
            if (c != '/' || count == 0 || to[count - 1] != '/') to[count++] = c;
        }

        return count;
    }
}
