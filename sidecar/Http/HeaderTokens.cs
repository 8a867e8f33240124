namespace Mesh.Sidecar.Http;

/// <summary>Reads comma-separated tokens and lengths in field values. Pure, without allocation.</summary>
internal static class HeaderTokens
{
    /// <summary>True when the list holds the token, whatever its case.</summary>
    public static bool Contains(ReadOnlySpan<char> list, ReadOnlySpan<char> token)
    {
        foreach (var range in list.Split(','))
        {
            if (list[range].Trim(" \t").Equals(token, StringComparison.OrdinalIgnoreCase)) return true;
        }

        return false;
    }

    /// <summary>A field value without the blanks around it.</summary>
    public static ReadOnlySpan<byte> TrimBlanks(ReadOnlySpan<byte> value)
    {
        while (!value.IsEmpty && value[0] is (byte)' ' or (byte)'\t') value = value[1..];
        while (!value.IsEmpty && value[^1] is (byte)' ' or (byte)'\t') value = value[..^1];
        return value;
    }

    /// <summary>Reads a Content-Length: digits and nothing else, at most 18.</summary>
    public static bool TryLength(ReadOnlySpan<char> value, out long length)
    {
        length = 0;
        if (value.IsEmpty || value.Length > 18) return false;
        foreach (var c in value)
        {
            if (!char.IsAsciiDigit(c)) return false;
            length = (length * 10) + (c - '0');
        }

        return true;
    }
}
