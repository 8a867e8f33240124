using System.Formats.Asn1;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Mesh.Api.Identity;

namespace Mesh.ControlPlane.Identity.Authority;

/// <summary>What the certificates of a mesh look like: roots, issuers and X.509-SVIDs. Stateless; draws keys and serials from the system's randomness.</summary>
internal static class CertificateForms
{
    private const string ServerAuthentication = "1.3.6.1.5.5.7.3.1";
    private const string ClientAuthentication = "1.3.6.1.5.5.7.3.2";
    private const string SubjectAlternativeName = "2.5.29.17";
    private const int SerialBytes = 16;

    /// <summary>A new root with a new key.</summary>
    public static Signer NewRoot(string trustDomain, DateTimeOffset now, TimeSpan life)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        // The random part keeps roots of one trust domain apart: chains are built by name.
        var request = new CertificateRequest(NameOf("root", trustDomain), key, HashAlgorithmName.SHA256);
        AddAuthority(request, trustDomain, pathLength: 1);
        var generator = X509SignatureGenerator.CreateForECDsa(key);
        using var certificate = request.Create(request.SubjectName, generator, now - Lifetimes.Backdated, now + life, NewSerial());
        return Signer.OfRoot(certificate.CopyWithPrivateKey(key));
    }

    /// <summary>A new issuing certificate with a new key, under a root.</summary>
    public static Signer NewIssuer(Signer root, string trustDomain, DateTimeOffset now, TimeSpan life)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest(NameOf("issuer", trustDomain), key, HashAlgorithmName.SHA256);
        AddAuthority(request, trustDomain, pathLength: 0);
        AddIssuer(request, root);
        using var certificate = root.Sign(request, now - Lifetimes.Backdated, now + life, NewSerial());
        return Signer.Of(certificate.CopyWithPrivateKey(key), [], root.Root);
    }

    /// <summary>The form of a leaf: exactly one URI name, no other; may serve and call, and sign nothing.</summary>
    public static CertificateRequest Leaf(SpiffeId id, PublicKey key, Signer issuer)
    {
        var request = new CertificateRequest(new X500DistinguishedName(""), key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(certificateAuthority: false, hasPathLengthConstraint: false, 0, critical: true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.DigitalSignature, critical: true));
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new Oid(ServerAuthentication), new Oid(ClientAuthentication)], critical: false));
        // The name is critical, since the subject is empty.
        request.CertificateExtensions.Add(UriName(id.ToString(), critical: true));
        AddIssuer(request, issuer);
        return request;
    }

    /// <summary>A serial number: positive, 16 bytes, random.</summary>
    public static byte[] NewSerial()
    {
        var serial = RandomNumberGenerator.GetBytes(SerialBytes);
        serial[0] = (byte)((serial[0] & 0x3f) | 0x40);
        return serial;
    }

    private static void AddAuthority(CertificateRequest request, string trustDomain, int pathLength)
    {
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(certificateAuthority: true, hasPathLengthConstraint: true, pathLength, critical: true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.CrlSign, critical: true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, critical: false));
        request.CertificateExtensions.Add(UriName("spiffe://" + trustDomain, critical: false));
    }

    private static void AddIssuer(CertificateRequest request, Signer issuer)
    {
        if (issuer.Certificate.Extensions.OfType<X509SubjectKeyIdentifierExtension>().FirstOrDefault() is { } key)
            request.CertificateExtensions.Add(X509AuthorityKeyIdentifierExtension.CreateFromSubjectKeyIdentifier(key));
    }

    private static X500DistinguishedName NameOf(string role, string trustDomain)
    {
        var name = new X500DistinguishedNameBuilder();
        name.AddOrganizationName("Mesh");
        // 64 letters are allowed in a common name.
        var shown = trustDomain.Length <= 40 ? trustDomain : trustDomain[..40];
        name.AddCommonName($"{shown} {role} {RandomNumberGenerator.GetHexString(8, lowercase: true)}");
        return name.Build();
    }

    // The builder of the runtime goes through Uri, which has its own ideas of what a host may be.
    private static X509Extension UriName(string uri, bool critical)
    {
        var writer = new AsnWriter(AsnEncodingRules.DER);
        using (writer.PushSequence()) writer.WriteCharacterString(UniversalTagNumber.IA5String, uri, new Asn1Tag(TagClass.ContextSpecific, 6));
        return new X509Extension(SubjectAlternativeName, writer.Encode(), critical);
    }
}
