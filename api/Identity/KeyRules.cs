using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Mesh.Api.Identity;

/// <summary>Which keys and signatures are strong enough: ECDSA on the NIST curves, RSA of 2048 bits and more, SHA-2. Stateless.</summary>
internal static class KeyRules
{
    public const string RsaOid = "1.2.840.113549.1.1.1";
    public const int LeastRsaBits = 2048;

    /// <summary>More makes the verifier work for whoever sends it.</summary>
    public const int MostRsaBits = 8192;

    private const string EcOid = "1.2.840.10045.2.1";

    private static readonly HashSet<string> StrongSignatures = new(StringComparer.Ordinal)
    {
        "1.2.840.10045.4.3.2", "1.2.840.10045.4.3.3", "1.2.840.10045.4.3.4", // ECDSA with SHA-256, 384, 512
        "1.2.840.113549.1.1.11", "1.2.840.113549.1.1.12", "1.2.840.113549.1.1.13", // RSA PKCS#1 with the same
        "1.2.840.113549.1.1.10", // RSASSA-PSS; its hash is checked by the runtime
    };

    public static bool IsStrongSignature(string? oid) => oid is not null && StrongSignatures.Contains(oid);

    /// <summary>What is wrong with a key; <see cref="SvidProblem.None"/> when nothing is.</summary>
    public static SvidProblem ProblemOf(PublicKey key, out string problem)
    {
        problem = "";
        try
        {
            return key.Oid.Value switch
            {
                EcOid => OfCurve(key, out problem),
                RsaOid => OfModulus(key, out problem),
                var other => Unsupported($"its key is of the kind {other}; taken are ECDSA and RSA", out problem),
            };
        }
        catch (CryptographicException e)
        {
            return Unsupported("its key cannot be read: " + e.Message, out problem);
        }
    }

    private static SvidProblem OfCurve(PublicKey key, out string problem)
    {
        problem = "";
        using var ec = key.GetECDsaPublicKey();
        var curve = ec?.ExportParameters(includePrivateParameters: false).Curve;
        return curve?.Oid?.FriendlyName switch
        {
            "nistP256" or "nistP384" or "nistP521" or "ECDSA_P256" or "ECDSA_P384" or "ECDSA_P521" => SvidProblem.None,
            var name => Unsupported($"its key is on the curve {name ?? "of explicit parameters"}; taken are P-256, P-384 and P-521", out problem),
        };
    }

    private static SvidProblem OfModulus(PublicKey key, out string problem)
    {
        problem = "";
        using var rsa = key.GetRSAPublicKey();
        if (rsa is null || rsa.KeySize > MostRsaBits)
            return Unsupported($"its RSA key is longer than {MostRsaBits} bits", out problem);
        if (rsa.KeySize >= LeastRsaBits) return SvidProblem.None;
        problem = $"its RSA key has {rsa.KeySize} bits; {LeastRsaBits} is the least";
        return SvidProblem.WeakKey;
    }

    private static SvidProblem Unsupported(string text, out string problem)
    {
        problem = text;
        return SvidProblem.UnsupportedKey;
    }
}
