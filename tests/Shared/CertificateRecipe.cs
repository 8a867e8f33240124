using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Mesh.Tests;

/// <summary>
/// Everything a forged certificate says, right or wrong. What <see cref="CertificateForge"/> fills in is a good one; a test then
/// spoils what it is about.
/// </summary>
public sealed class CertificateRecipe
{
    /// <summary>X.509 version minus one; null leaves the field out, which means version 1.</summary>
    public int? Version { get; set; } = 2;

    public string Subject { get; set; } = "O=mesh";

    /// <summary>The issuer's name as written; null: the issuer's own.</summary>
    public string? Issuer { get; set; }

    public DateTimeOffset NotBefore { get; set; }

    public DateTimeOffset NotAfter { get; set; }

    public byte[]? SerialNumber { get; set; }

    public AsymmetricAlgorithm Key { get; set; } = null!;

    /// <summary>The public key's DER where it is not that of <see cref="Key"/>.</summary>
    public byte[]? SubjectPublicKey { get; set; }

    /// <summary>Alternative names, as DER of GeneralName; null: no such extension.</summary>
    public List<byte[]>? Names { get; set; }

    public bool NamesCritical { get; set; }

    /// <summary>The extension's whole content where it is not made of <see cref="Names"/>.</summary>
    public byte[]? RawNames { get; set; }

    public bool? Authority { get; set; } = false;

    public int? PathLength { get; set; }

    public X509KeyUsageFlags? Usage { get; set; } = X509KeyUsageFlags.DigitalSignature;

    public bool UsageCritical { get; set; } = true;

    public List<string>? Purposes { get; set; } = [CertificateForge.ServerAuthentication, CertificateForge.ClientAuthentication];

    /// <summary>Further extensions.</summary>
    public List<X509Extension> More { get; } = [];

    public HashAlgorithmName Hash { get; set; } = HashAlgorithmName.SHA256;

    public RSASignaturePadding Padding { get; set; } = RSASignaturePadding.Pkcs1;

    /// <summary>Changes the finished DER.</summary>
    public Func<byte[], byte[]>? Mangle { get; set; }

    public CertificateRecipe WithUris(params string[] uris)
    {
        Names = [.. uris.Select(CertificateForge.UriName)];
        return this;
    }
}
