using System.Security.Cryptography;
using System.Text;
using Mesh.Api.Identity;

namespace Mesh.ControlPlane.Identity.Stores;

/// <summary>
/// Closes entries for a store that others can read and write: AES-256-GCM with a key only the operator and the control planes hold. The name
/// is authenticated with the content, so that one entry cannot be passed off as another. Thread safe; lives as long as the program.
/// </summary>
internal sealed class Seal : IDisposable
{
    private const int KeyBytes = 32;
    private const int NonceBytes = 12;
    private const int TagBytes = 16;
    private const byte Format = 1;
    private readonly byte[] key;

    /// <summary>A seal with a key of 32 bytes.</summary>
    public Seal(ReadOnlySpan<byte> key)
    {
        if (key.Length != KeyBytes) throw new ArgumentException($"a key has {KeyBytes} bytes, not {key.Length}", nameof(key));
        this.key = key.ToArray();
    }

    /// <summary>Reads the key from a file (base64 or hex of 32 bytes); a <see cref="StoreException"/> says what is wrong with it.</summary>
    public static Seal FromFile(string path)
    {
        try
        {
            var text = Encoding.ASCII.GetString(SecureFiles.ReadSecret(path)).Trim();
            return new Seal(Decode(text) ?? throw new StoreException($"{path} holds no key: write 32 random bytes as base64 or hex, such as by: openssl rand -base64 32"));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new StoreException(e.Message, e);
        }
    }

    /// <summary>Closes a content under a name.</summary>
    public byte[] Close(string name, ReadOnlySpan<byte> content)
    {
        var closed = new byte[1 + NonceBytes + content.Length + TagBytes];
        closed[0] = Format;
        var nonce = closed.AsSpan(1, NonceBytes);
        RandomNumberGenerator.Fill(nonce);
        using var aes = new AesGcm(key, TagBytes);
        aes.Encrypt(nonce, content, closed.AsSpan(1 + NonceBytes, content.Length), closed.AsSpan(1 + NonceBytes + content.Length), AssociatedWith(name));
        return closed;
    }

    /// <summary>Opens what was closed under the name; false when it was closed with another key, under another name, or changed since.</summary>
    public bool TryOpen(string name, ReadOnlySpan<byte> closed, out byte[] content)
    {
        content = [];
        var length = closed.Length - 1 - NonceBytes - TagBytes;
        if (length < 0 || closed[0] != Format) return false;
        var open = new byte[length];
        using var aes = new AesGcm(key, TagBytes);
        try
        {
            aes.Decrypt(closed.Slice(1, NonceBytes), closed.Slice(1 + NonceBytes, length), closed[^TagBytes..], open, AssociatedWith(name));
        }
        catch (AuthenticationTagMismatchException)
        {
            return false;
        }

        content = open;
        return true;
    }

    /// <inheritdoc/>
    public void Dispose() => CryptographicOperations.ZeroMemory(key);

    private static byte[] AssociatedWith(string name) => Encoding.UTF8.GetBytes(name);

    private static byte[]? Decode(string text)
    {
        Span<byte> bytes = stackalloc byte[KeyBytes];
        if (text.Length == 2 * KeyBytes && Convert.FromHexString(text, bytes, out _, out var fromHex) == System.Buffers.OperationStatus.Done && fromHex == KeyBytes)
            return bytes.ToArray();
        return text.Length == 44 && Convert.TryFromBase64String(text, bytes, out var written) && written == KeyBytes ? bytes.ToArray() : null;
    }
}
