using System.Formats.Asn1;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Mesh.Api.Identity;

/// <summary>Which signatures are believed: ECDSA and RSA over SHA-256, 384 and 512. Stateless.</summary>
internal static class SignatureRules
{
    private const string Pss = "1.2.840.113549.1.1.10";

    private static readonly HashSet<string> Strong = new(StringComparer.Ordinal)
    {
        "1.2.840.10045.4.3.2", "1.2.840.10045.4.3.3", "1.2.840.10045.4.3.4", // ECDSA with SHA-256, 384, 512
        "1.2.840.113549.1.1.11", "1.2.840.113549.1.1.12", "1.2.840.113549.1.1.13", // RSA PKCS#1 with the same
    };

    private static readonly HashSet<string> StrongHashes = new(StringComparer.Ordinal)
    {
        "2.16.840.1.101.3.4.2.1", "2.16.840.1.101.3.4.2.2", "2.16.840.1.101.3.4.2.3",
    };

    /// <summary>What is weak about a certificate's signature, or null.</summary>
    public static string? ProblemOf(X509Certificate2 certificate) =>
        certificate.SignatureAlgorithm.Value is { } oid && Strong.Contains(oid) ? null : ProblemOfSigned(certificate.RawDataMemory);

    /// <summary>What is weak about the signature of a certificate or request, or null. Malformed ones throw <see cref="AsnContentException"/> or <see cref="CryptographicException"/>.</summary>
    public static string? ProblemOfSigned(ReadOnlyMemory<byte> der)
    {
        var signed = new AsnReader(der, AsnEncodingRules.BER).ReadSequence();
        signed.ReadEncodedValue();
        var algorithm = signed.ReadSequence();
        var oid = algorithm.ReadObjectIdentifier();
        if (Strong.Contains(oid)) return null;
        if (oid != Pss) return $"the algorithm {oid}; taken are ECDSA and RSA over SHA-2";
        // RSASSA-PSS-params: [0] the hash, whose absence means SHA-1.
        var explicitHash = new Asn1Tag(TagClass.ContextSpecific, 0, isConstructed: true);
        var parameters = algorithm.HasData ? algorithm.ReadSequence() : null;
        var hash = parameters is { HasData: true } && parameters.PeekTag() == explicitHash
            ? parameters.ReadSequence(explicitHash).ReadSequence().ReadObjectIdentifier()
            : "SHA-1";
        return StrongHashes.Contains(hash) ? null : $"RSASSA-PSS over {hash}; taken is SHA-2";
    }
}
