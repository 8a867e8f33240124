using System.Diagnostics.CodeAnalysis;
using System.Formats.Asn1;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Mesh.Api.Identity;

/// <summary>Certificate signing requests (PKCS#10): made by workloads; of a received one only its key is used. Stateless.</summary>
public static class Csr
{
    /// <summary>The longest request that is looked at, in letters of PEM.</summary>
    public const int MaxLength = 16 * 1024;

    private const string Label = "CERTIFICATE REQUEST";

    /// <summary>Makes a request in PEM, signed by <paramref name="key"/>; the ID is a courtesy to authorities that look at it.</summary>
    public static string Create(ECDsa key, SpiffeId? id = null)
    {
        var request = new CertificateRequest(new X500DistinguishedName(""), key, HashAlgorithmName.SHA256);
        if (id is not null)
        {
            var names = new SubjectAlternativeNameBuilder();
            names.AddUri(new Uri(id.ToString()));
            request.CertificateExtensions.Add(names.Build(critical: true));
        }

        return request.CreateSigningRequestPem() + "\n";
    }

    /// <summary>Takes the key of a request, or says why not: the requester must have signed with it, and it must be strong.</summary>
    public static bool TryReadKey(string pem, [NotNullWhen(true)] out PublicKey? key, [NotNullWhen(false)] out string? problem)
    {
        problem = Read(pem, out var read);
        if (problem is null && KeyRules.ProblemOf(read!, out var weak) != SvidProblem.None)
            problem = "the request is refused: " + weak;
        key = problem is null ? read : null;
        return problem is null;
    }

    private static string? Read(string pem, out PublicKey? key)
    {
        key = null;
        if (string.IsNullOrWhiteSpace(pem)) return "the request is empty";
        if (pem.Length > MaxLength) return $"the request has {pem.Length} letters; {MaxLength} are allowed";
        if (!PemEncoding.TryFind(pem, out var fields)) return "the request is no PEM";
        if (!pem.AsSpan(fields.Label).SequenceEqual(Label)) return $"the request is a {pem[fields.Label]}, not a {Label}";
        if (!string.IsNullOrWhiteSpace(pem[fields.Location.End..]) || !string.IsNullOrWhiteSpace(pem[..fields.Location.Start]))
            return "there is more than one request, or text beside it";
        var der = new byte[fields.DecodedDataLength];
        Convert.TryFromBase64Chars(pem.AsSpan(fields.Base64Data), der, out _);
        return ReadDer(der, out key);
    }

    private static string? ReadDer(byte[] der, out PublicKey? key)
    {
        key = null;
        try
        {
            if (SignatureRules.ProblemOfSigned(der) is { } weak) return "the request is signed by " + weak;
            // Loading checks the signature; the extensions asked for are not even read.
            var request = CertificateRequest.LoadSigningRequest(der, HashAlgorithmName.SHA256, out var used, signerSignaturePadding: RSASignaturePadding.Pkcs1);
            if (used != der.Length) return "the request has bytes after its end";
            key = request.PublicKey;
            return null;
        }
        catch (Exception e) when (e is CryptographicException or ArgumentException or AsnContentException or PlatformNotSupportedException)
        {
            return "the request is malformed or not signed by its own key: " + e.Message;
        }
    }
}
