namespace Mesh.Api.Identity;

/// <summary>Base64url without padding, strictly: one text for each sequence of bytes. Stateless.</summary>
public static class Base64Url
{
    /// <summary>Bytes to text.</summary>
    public static string Encode(ReadOnlySpan<byte> bytes) => System.Buffers.Text.Base64Url.EncodeToString(bytes);

    /// <summary>Text to bytes; false for anything <see cref="Encode"/> would not have written.</summary>
    public static bool TryDecode(string text, out byte[] bytes)
    {
        bytes = [];
        if (!System.Buffers.Text.Base64Url.IsValid(text)) return false;
        bytes = System.Buffers.Text.Base64Url.DecodeFromChars(text);
        return string.Equals(Encode(bytes), text, StringComparison.Ordinal);
    }
}
