using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Mesh.Api.Identity;

/// <summary>Which keys are strong enough: ECDSA on the NIST curves, RSA of 2048 bits and more. Stateless.</summary>
internal static class KeyRules
{
    public const string RsaOid = "1.2.840.113549.1.1.1";
    public const int LeastRsaBits = 2048;

    /// <summary>More makes the verifier work for whoever sends it.</summary>
    public const int MostRsaBits = 8192;

    private const string EcOid = "1.2.840.10045.2.1";

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
        catch (Exception e) when (e is CryptographicException or PlatformNotSupportedException)
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
