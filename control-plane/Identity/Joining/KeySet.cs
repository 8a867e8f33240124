using System.Collections.Frozen;
using System.Security.Cryptography;
using System.Text.Json;
using Mesh.Api.Identity;

namespace Mesh.ControlPlane.Identity.Joining;

/// <summary>A key that signs JSON web tokens, bound to the one algorithm it is for. Immutable.</summary>
/// <param name="Algorithm"><c>RS256</c> or <c>ES256</c>; a token that names another is refused, whatever its signature.</param>
/// <param name="Verify">Checks a signature over some data.</param>
internal sealed record WebKey(string Algorithm, Func<byte[], byte[], bool> Verify);

/// <summary>The keys of an issuer of JSON web tokens, by their ids (RFC 7517). Immutable.</summary>
internal sealed class KeySet
{
    private const int LeastRsaBits = 2048;
    private readonly FrozenDictionary<string, WebKey> keys;

    private KeySet(FrozenDictionary<string, WebKey> keys) => this.keys = keys;

    /// <summary>The ids, for error texts.</summary>
    public IEnumerable<string> Ids => keys.Keys.Order(StringComparer.Ordinal);

    /// <summary>The key of an id, or null.</summary>
    public WebKey? Find(string id) => keys.GetValueOrDefault(id);

    /// <summary>Reads a JWKS; a <see cref="FormatException"/> says what is wrong. Keys for other uses are left out, keys that cannot be read are errors.</summary>
    public static KeySet Read(ReadOnlyMemory<byte> json)
    {
        try
        {
            using var document = JsonDocument.Parse(json, new JsonDocumentOptions { MaxDepth = 8 });
            var found = new Dictionary<string, WebKey>(StringComparer.Ordinal);
            foreach (var key in document.RootElement.GetProperty("keys").EnumerateArray())
            {
                if (Text(key, "use") is not (null or "sig")) continue;
                var id = Text(key, "kid") ?? throw new FormatException("a key has no kid");
                if (!found.TryAdd(id, Read(key, id))) throw new FormatException($"two keys have the kid '{id}'");
            }

            return found.Count > 0 ? new KeySet(found.ToFrozenDictionary(StringComparer.Ordinal)) : throw new FormatException("there is no key for signatures in it");
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or KeyNotFoundException)
        {
            throw new FormatException($"it is no JSON object with a list of keys: {e.Message}", e);
        }
    }

    private static WebKey Read(JsonElement key, string id)
    {
        if (key.TryGetProperty("d", out _)) throw new FormatException($"key '{id}' is a private key: give the public ones (kubectl get --raw /openid/v1/jwks)");
        try
        {
            return (Text(key, "kty"), Text(key, "alg"), Text(key, "crv")) switch
            {
                ("RSA", null or "RS256", _) => ReadRsa(key, id),
                ("EC", null or "ES256", "P-256") => ReadEc(key),
                var (kty, alg, crv) => throw new FormatException($"key '{id}' is {kty} {alg} {crv}; taken are RSA with RS256 and EC P-256 with ES256"),
            };
        }
        catch (CryptographicException e)
        {
            throw new FormatException($"key '{id}' cannot be read: {e.Message}", e);
        }
    }

    private static WebKey ReadRsa(JsonElement key, string id)
    {
        var parameters = new RSAParameters { Modulus = Bytes(key, "n"), Exponent = Bytes(key, "e") };
        using var rsa = RSA.Create(parameters);
        if (rsa.KeySize < LeastRsaBits) throw new FormatException($"key '{id}' has {rsa.KeySize} bits; {LeastRsaBits} is the least");
        return new WebKey("RS256", (data, signature) =>
        {
            using var own = RSA.Create(parameters);
            return own.VerifyData(data, signature, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        });
    }

    private static WebKey ReadEc(JsonElement key)
    {
        var parameters = new ECParameters { Curve = ECCurve.NamedCurves.nistP256, Q = new ECPoint { X = Bytes(key, "x"), Y = Bytes(key, "y") } };
        ECDsa.Create(parameters).Dispose();
        return new WebKey("ES256", (data, signature) =>
        {
            using var own = ECDsa.Create(parameters);
            return signature.Length == 64 && own.VerifyData(data, signature, HashAlgorithmName.SHA256, DSASignatureFormat.IeeeP1363FixedFieldConcatenation);
        });
    }

    private static string? Text(JsonElement key, string name) => key.TryGetProperty(name, out var value) ? value.GetString() : null;

    private static byte[] Bytes(JsonElement key, string name) =>
        Text(key, name) is { } text && Base64Url.TryDecode(text, out var bytes) && bytes.Length > 0 ? bytes : throw new CryptographicException($"{name} is no base64url");
}
