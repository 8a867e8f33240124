using System.Collections.Immutable;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Mesh.Api.Identity;

namespace Mesh.ControlPlane.Identity.Authority;

/// <summary>
/// A certificate that may sign others, with its key and the way up to its root. Immutable and safe from any thread. Lives until nobody
/// signs with it any more; the garbage collector takes it.
/// </summary>
internal sealed class Signer
{
    private readonly X509Certificate2 withKey;

    private Signer(X509Certificate2 withKey, ImmutableArray<X509Certificate2> chain, X509Certificate2 root)
    {
        (this.withKey, Chain, Root) = (withKey, chain, root);
        Certificate = X509CertificateLoader.LoadCertificate(withKey.RawDataMemory.Span);
        Id = TrustBundle.Sha256(Certificate);
        RootId = TrustBundle.Sha256(root);
    }

    /// <summary>The certificate, without its key.</summary>
    public X509Certificate2 Certificate { get; }

    /// <summary>SHA-256 of the certificate.</summary>
    public string Id { get; }

    /// <summary>What goes with each certificate it signs: itself and those above it, without the root.</summary>
    public ImmutableArray<X509Certificate2> Chain { get; }

    /// <summary>The root above it; itself, when it is one.</summary>
    public X509Certificate2 Root { get; }

    /// <summary>SHA-256 of the root.</summary>
    public string RootId { get; }

    /// <summary>From when it may sign.</summary>
    public DateTimeOffset NotBefore => new(Certificate.NotBefore.ToUniversalTime(), TimeSpan.Zero);

    /// <summary>Until when what it signed is believed: its own end, or that of one above it.</summary>
    public DateTimeOffset NotAfter => Chain.Append(Root).Min(c => new DateTimeOffset(c.NotAfter.ToUniversalTime(), TimeSpan.Zero));

    /// <summary>A root that signs for itself.</summary>
    public static Signer OfRoot(X509Certificate2 withKey) => new(withKey, [], withKey);

    /// <summary>An issuer with the certificates above it (the root among them or not) and its root.</summary>
    public static Signer Of(X509Certificate2 withKey, IEnumerable<X509Certificate2> above, X509Certificate2 root)
    {
        var chain = above.Prepend(X509CertificateLoader.LoadCertificate(withKey.RawDataMemory.Span))
            .Where(c => !c.SubjectName.RawData.AsSpan().SequenceEqual(c.IssuerName.RawData))
            .DistinctBy(c => c.Thumbprint);
        return new Signer(withKey, [.. chain], root);
    }

    /// <summary>Signs a request. The dates are cut to those of the signer.</summary>
    public X509Certificate2 Sign(CertificateRequest request, DateTimeOffset notBefore, DateTimeOffset notAfter, ReadOnlySpan<byte> serial)
    {
        var from = notBefore < NotBefore ? NotBefore : notBefore;
        var until = notAfter > NotAfter ? NotAfter : notAfter;
        // Each signature takes a handle of its own: keys are not promised to be safe from several threads.
        using var ec = withKey.GetECDsaPrivateKey();
        using var rsa = ec is null ? withKey.GetRSAPrivateKey() : null;
        var generator = ec is not null ? X509SignatureGenerator.CreateForECDsa(ec) : X509SignatureGenerator.CreateForRSA(rsa!, RSASignaturePadding.Pkcs1);
        return request.Create(Certificate.SubjectName, generator, from, until, serial);
    }

    /// <summary>The private key as PEM. A secret.</summary>
    public string KeyPem()
    {
        using var ec = withKey.GetECDsaPrivateKey();
        using var rsa = ec is null ? withKey.GetRSAPrivateKey() : null;
        return ((AsymmetricAlgorithm?)ec ?? rsa)!.ExportPkcs8PrivateKeyPem() + "\n";
    }

    /// <summary>What it is, for logs; never the key.</summary>
    public override string ToString() => $"{Certificate.Subject} {Id[..12]} until {NotAfter:u}";
}
