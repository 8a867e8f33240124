using System.Buffers;
using System.Text;

namespace Mesh.Api.Grpc;

/// <summary>
/// The encoding of <c>grpc-message</c>: UTF-8 with every byte outside space to tilde, and the percent sign, as %XX.
/// Decoding is lenient, since a wrong escape must not cost the reader the message. Stateless.
/// </summary>
internal static class PercentEncoding
{
    /// <summary>Longer messages are cut: they travel in a header block, which peers bound at 8 KiB and less.</summary>
    private const int MaxLength = 2048;

    private static readonly SearchValues<char> Plain =
        SearchValues.Create([.. Enumerable.Range(0x20, 0x5F).Select(c => (char)c).Where(c => c != '%')]);

    public static string Encode(string message)
    {
        if (message.Length > MaxLength)
            message = string.Concat(message.AsSpan(0, MaxLength - 3), "...");
        if (!message.AsSpan().ContainsAnyExcept(Plain))
            return message;

        var encoded = new StringBuilder(message.Length + 16);
        foreach (var b in Encoding.UTF8.GetBytes(message))
        {
            if (Plain.Contains((char)b))
                encoded.Append((char)b);
            else
                encoded.Append('%').Append(b.ToString("X2"));
        }

        return encoded.ToString();
    }

    public static string Decode(string value)
    {
        if (!value.Contains('%'))
            return value;

        var bytes = new ArrayBufferWriter<byte>(value.Length);
        for (var i = 0; i < value.Length; i++)
        {
            if (value[i] == '%' && i + 2 < value.Length && char.IsAsciiHexDigit(value[i + 1]) && char.IsAsciiHexDigit(value[i + 2]))
            {
                bytes.Write([Convert.FromHexString(value.AsSpan(i + 1, 2))[0]]);
                i += 2;
            }
            else
            {
                bytes.Write(Encoding.UTF8.GetBytes(value, i, 1));
            }
        }

        return Encoding.UTF8.GetString(bytes.WrittenSpan);
    }
}
