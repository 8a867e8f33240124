using System.Formats.Asn1;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;

namespace Mesh.Tests;

/// <summary>A certificate with its key, and what issued it.</summary>
public sealed record Forged(X509Certificate2 Certificate, AsymmetricAlgorithm Key, Forged? Parent)
{
    public X509Certificate2 WithKey() => Key is RSA rsa ? Certificate.CopyWithPrivateKey(rsa) : Certificate.CopyWithPrivateKey((ECDsa)Key);

    public string Pem => Certificate.ExportCertificatePem() + "\n";

    public string KeyPem => Key.ExportPkcs8PrivateKeyPem() + "\n";

    /// <summary>This one and its issuers below the root.</summary>
    public IEnumerable<X509Certificate2> Intermediates() => Parent is null ? [] : Parent.Parent is null ? [] : Parent.Intermediates().Prepend(Parent.Certificate);
}

/// <summary>
/// Makes certificates, good and bad in any way a test likes: it writes the DER itself, so that nothing refuses to be forged. Times are
/// those of the clock it is given.
/// </summary>
public sealed class CertificateForge(TimeProvider time, string trustDomain = "cluster.local")
{
    public const string ServerAuthentication = "1.3.6.1.5.5.7.3.1";
    public const string ClientAuthentication = "1.3.6.1.5.5.7.3.2";
    public const string Workload = "spiffe://cluster.local/ns/shop/sa/cart";

    public string TrustDomain { get; } = trustDomain;

    public static ECDsa NewKey() => ECDsa.Create(ECCurve.NamedCurves.nistP256);

    /// <summary>A self-signed authority.</summary>
    public Forged Root(string name = "root", Action<CertificateRecipe>? spoil = null)
    {
        var recipe = AuthorityRecipe(name, TimeSpan.FromDays(3650));
        spoil?.Invoke(recipe);
        var der = Write(recipe, recipe.Issuer ?? recipe.Subject, null, recipe.Key);
        return new(Load(recipe.Mangle is null ? der : recipe.Mangle(der)), recipe.Key, null);
    }

    /// <summary>An authority issued by another.</summary>
    public Forged Authority(Forged issuer, string name = "issuing", Action<CertificateRecipe>? spoil = null) =>
        Issue(issuer, AuthorityRecipe(name, TimeSpan.FromDays(365)), spoil);

    /// <summary>A leaf for an ID.</summary>
    public Forged Leaf(Forged issuer, string id = Workload, Action<CertificateRecipe>? spoil = null)
    {
        var now = time.GetUtcNow();
        var recipe = new CertificateRecipe { NotBefore = now.AddMinutes(-1), NotAfter = now.AddHours(24), Key = NewKey() }.WithUris(id);
        return Issue(issuer, recipe, spoil);
    }

    /// <summary>The control plane's own certificate: its ID, and the roots in an extension.</summary>
    public Forged ControlPlane(Forged issuer, params Forged[] roots) =>
        Leaf(issuer, $"spiffe://{TrustDomain}/ns/mesh-system/sa/control-plane", r => r.More.Add(RootsExtension([.. roots.Select(x => x.Certificate.RawData)])));

    /// <summary>A certificate whose key is another's: what a control plane answers to a request.</summary>
    public Forged LeafFor(Forged issuer, byte[] subjectPublicKey, string id, TimeSpan lifetime, Action<CertificateRecipe>? spoil = null) =>
        Leaf(issuer, id, r =>
        {
            (r.SubjectPublicKey, r.NotAfter) = (subjectPublicKey, time.GetUtcNow() + lifetime);
            spoil?.Invoke(r);
        });

    public static Forged Issue(Forged issuer, CertificateRecipe recipe, Action<CertificateRecipe>? spoil = null)
    {
        spoil?.Invoke(recipe);
        var der = Write(recipe, recipe.Issuer ?? issuer.Certificate.Subject, issuer.Certificate, issuer.Key);
        return new(Load(recipe.Mangle is null ? der : recipe.Mangle(der)), recipe.Key, issuer);
    }

    public static byte[] UriName(string uri) => NameOf(6, Encoding.Latin1.GetBytes(uri));

    public static byte[] DnsName(string name) => NameOf(2, Encoding.ASCII.GetBytes(name));

    /// <summary>A GeneralName of any tag.</summary>
    public static byte[] NameOf(int tag, byte[] content)
    {
        var writer = new AsnWriter(AsnEncodingRules.DER);
        writer.WriteOctetString(content, new Asn1Tag(TagClass.ContextSpecific, tag));
        return writer.Encode();
    }

    public static byte[] Sequence(params byte[][] items)
    {
        var writer = new AsnWriter(AsnEncodingRules.DER);
        using (writer.PushSequence())
        {
            foreach (var item in items) writer.WriteEncodedValue(item);
        }

        return writer.Encode();
    }

    public static X509Extension RootsExtension(params byte[][] roots) => new("2.25.289637741238415", Sequence(roots), critical: false);

    /// <summary>Turns one bit of the last byte: of the signature.</summary>
    public static byte[] BreakSignature(byte[] der)
    {
        var broken = (byte[])der.Clone();
        broken[^1] ^= 1;
        return broken;
    }

    private CertificateRecipe AuthorityRecipe(string name, TimeSpan life)
    {
        var now = time.GetUtcNow();
        return new CertificateRecipe
        {
            Subject = "O=mesh, CN=" + name,
            NotBefore = now.AddDays(-1),
            NotAfter = now + life,
            Key = NewKey(),
            Authority = true,
            Usage = X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.CrlSign,
            Purposes = null,
        }.WithUris("spiffe://" + TrustDomain);
    }

    private static X509Certificate2 Load(byte[] der) => X509CertificateLoader.LoadCertificate(der);

    private static byte[] Write(CertificateRecipe recipe, string issuerName, X509Certificate2? issuer, AsymmetricAlgorithm issuerKey)
    {
        var signer = issuerKey is RSA rsa ? X509SignatureGenerator.CreateForRSA(rsa, recipe.Padding) : X509SignatureGenerator.CreateForECDsa((ECDsa)issuerKey);
        var algorithm = recipe.Hash == HashAlgorithmName.SHA1 ? OverSha1(issuerKey, recipe.Padding) : signer.GetSignatureAlgorithmIdentifier(recipe.Hash);
        var body = new AsnWriter(AsnEncodingRules.DER);
        using (body.PushSequence())
        {
            if (recipe.Version is { } version)
            {
                using (body.PushSequence(new Asn1Tag(TagClass.ContextSpecific, 0, true))) body.WriteInteger(version);
            }

            body.WriteIntegerUnsigned(recipe.SerialNumber ?? [1, .. RandomNumberGenerator.GetBytes(15)]);
            body.WriteEncodedValue(algorithm);
            body.WriteEncodedValue(new X500DistinguishedName(issuerName).RawData);
            using (body.PushSequence())
            {
                WriteTime(body, recipe.NotBefore);
                WriteTime(body, recipe.NotAfter);
            }

            body.WriteEncodedValue(new X500DistinguishedName(recipe.Subject).RawData);
            body.WriteEncodedValue(recipe.SubjectPublicKey ?? PublicKeyOf(recipe.Key));
            if (recipe.Version is >= 2) WriteExtensions(body, ExtensionsOf(recipe, issuer));
        }

        var signed = body.Encode();
        var whole = new AsnWriter(AsnEncodingRules.DER);
        using (whole.PushSequence())
        {
            whole.WriteEncodedValue(signed);
            whole.WriteEncodedValue(algorithm);
            whole.WriteBitString(signer.SignData(signed, recipe.Hash));
        }

        return whole.Encode();
    }

    /// <summary>The runtime no longer writes these.</summary>
    private static byte[] OverSha1(AsymmetricAlgorithm key, RSASignaturePadding padding)
    {
        var writer = new AsnWriter(AsnEncodingRules.DER);
        writer.WriteObjectIdentifier(key is ECDsa ? "1.2.840.10045.4.1" : padding == RSASignaturePadding.Pss ? "1.2.840.113549.1.1.10" : "1.2.840.113549.1.1.5");
        // For RSASSA-PSS an empty list of parameters means SHA-1.
        return Sequence(writer.Encode(), key is RSA && padding == RSASignaturePadding.Pss ? [0x30, 0] : [5, 0]);
    }

    private static List<X509Extension> ExtensionsOf(CertificateRecipe recipe, X509Certificate2? issuer)
    {
        List<X509Extension> all = [];
        if (recipe.Authority is { } authority)
            all.Add(new X509BasicConstraintsExtension(authority, recipe.PathLength is not null, recipe.PathLength ?? 0, critical: true));
        if (recipe.Usage is { } usage) all.Add(new X509KeyUsageExtension(usage, recipe.UsageCritical));
        if (recipe.Purposes is { } purposes)
            all.Add(new X509EnhancedKeyUsageExtension([.. purposes.Select(p => new Oid(p))], critical: false));
        if (recipe.RawNames is { } raw) all.Add(new X509Extension("2.5.29.17", raw, recipe.NamesCritical));
        else if (recipe.Names is { } names) all.Add(new X509Extension("2.5.29.17", Sequence([.. names]), recipe.NamesCritical));
        if (recipe.Authority is true) all.Add(new X509SubjectKeyIdentifierExtension(SHA1.HashData(PublicKeyOf(recipe.Key)), critical: false));
        if (issuer?.Extensions.OfType<X509SubjectKeyIdentifierExtension>().FirstOrDefault() is { } identifier)
            all.Add(X509AuthorityKeyIdentifierExtension.CreateFromSubjectKeyIdentifier(identifier));
        all.AddRange(recipe.More);
        return all;
    }

    private static void WriteExtensions(AsnWriter writer, List<X509Extension> extensions)
    {
        using (writer.PushSequence(new Asn1Tag(TagClass.ContextSpecific, 3, true)))
        using (writer.PushSequence())
        {
            foreach (var extension in extensions)
            {
                using (writer.PushSequence())
                {
                    writer.WriteObjectIdentifier(extension.Oid!.Value!);
                    if (extension.Critical) writer.WriteBoolean(true);
                    writer.WriteOctetString(extension.RawData);
                }
            }
        }
    }

    private static void WriteTime(AsnWriter writer, DateTimeOffset time)
    {
        if (time.Year is >= 1950 and < 2050) writer.WriteUtcTime(time);
        else writer.WriteGeneralizedTime(time, omitFractionalSeconds: true);
    }

    private static byte[] PublicKeyOf(AsymmetricAlgorithm key) => key.ExportSubjectPublicKeyInfo();
}
