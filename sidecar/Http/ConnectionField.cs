using System.Text;

namespace Mesh.Sidecar.Http;

/// <summary>
/// Reads the Connection field of requests for Kestrel. Kestrel replaces a field like <c>close, X-Foo</c> by its own <c>close</c> as soon as
/// exactly one option it knows is in it, and with that forgets which fields are nominated: they would go through. So the value is put in a
/// form that means the same and that Kestrel leaves alone. An offer of h2c is taken out here too, since Kestrel refuses a body beside an
/// upgrade, and no client needs h2c. Stateless, any thread.
/// </summary>
internal sealed class ConnectionField : Encoding
{
    /// <summary>The one instance.</summary>
    public static ConnectionField Instance { get; } = new();

    /// <summary>The form Kestrel leaves alone. Pure.</summary>
    public static string Rewrite(string value)
    {
        if (!value.Contains(',', StringComparison.Ordinal)) return value;
        var tokens = value.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries).ToList();
        if (tokens.TrueForAll(t => IsClose(t) || IsKeepAlive(t) || IsUpgrade(t))) return value;
        if (tokens.Exists(t => t.Equals("HTTP2-Settings", StringComparison.OrdinalIgnoreCase))) tokens.RemoveAll(IsUpgrade);
        var ends = tokens.Exists(IsClose);
        tokens.RemoveAll(IsKeepAlive);
        // Two known options are never replaced by one: close beside keep-alive is close, upgrade beside keep-alive is upgrade.
        if (ends || tokens.Exists(IsUpgrade)) tokens.Add("keep-alive");
        return string.Join(", ", tokens);
    }

    /// <inheritdoc/>
    public override int GetByteCount(char[] chars, int index, int count) => count;

    /// <inheritdoc/>
    public override int GetBytes(char[] chars, int charIndex, int charCount, byte[] bytes, int byteIndex) =>
        Latin1.GetBytes(chars, charIndex, charCount, bytes, byteIndex);

    /// <inheritdoc/>
    public override int GetCharCount(byte[] bytes, int index, int count) => Rewrite(Latin1.GetString(bytes, index, count)).Length;

    /// <inheritdoc/>
    public override int GetChars(byte[] bytes, int byteIndex, int byteCount, char[] chars, int charIndex)
    {
        var value = Rewrite(Latin1.GetString(bytes, byteIndex, byteCount));
        value.CopyTo(chars.AsSpan(charIndex));
        return value.Length;
    }

    /// <inheritdoc/>
    public override int GetMaxByteCount(int charCount) => charCount;

    /// <inheritdoc/>
    public override int GetMaxCharCount(int byteCount) => byteCount + ", keep-alive".Length;

    private static bool IsClose(string token) => token.Equals("close", StringComparison.OrdinalIgnoreCase);

    private static bool IsKeepAlive(string token) => token.Equals("keep-alive", StringComparison.OrdinalIgnoreCase);

    private static bool IsUpgrade(string token) => token.Equals("Upgrade", StringComparison.OrdinalIgnoreCase);
}
