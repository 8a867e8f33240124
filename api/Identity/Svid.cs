using System.Collections.Immutable;
using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Mesh.Api.Identity;

/// <summary>
/// A certificate that proves an ID, with its private key and the intermediates up to the root. Immutable and safe from any thread. It
/// owns its certificates: dispose it only when no handshake can still use it; else leave it to the garbage collector.
/// </summary>
public sealed class Svid : IDisposable
{
    private readonly Lazy<SslStreamCertificateContext> context;

    private Svid(SpiffeId id, X509Certificate2 certificate, ImmutableArray<X509Certificate2> chain)
    {
        (Id, Certificate, Chain) = (id, certificate, chain);
        context = new(() => SslStreamCertificateContext.Create(Certificate, [.. Chain], offline: true));
    }

    /// <summary>The ID it proves.</summary>
    public SpiffeId Id { get; }

    /// <summary>The leaf, with its private key.</summary>
    public X509Certificate2 Certificate { get; }

    /// <summary>The intermediates, from the leaf's issuer upwards; no root.</summary>
    public ImmutableArray<X509Certificate2> Chain { get; }

    /// <summary>From when it holds.</summary>
    public DateTimeOffset NotBefore => new(Certificate.NotBefore.ToUniversalTime(), TimeSpan.Zero);

    /// <summary>Until when it holds.</summary>
    public DateTimeOffset NotAfter => new(Certificate.NotAfter.ToUniversalTime(), TimeSpan.Zero);

    /// <summary>The certificate as <see cref="SslStream"/> takes it, made once: what a handshake needs is not looked up again.</summary>
    public SslStreamCertificateContext TlsContext => context.Value;

    /// <summary>Makes one of a leaf without its key, the intermediates and the key; throws <see cref="FormatException"/> where they do not fit.</summary>
    public static Svid Create(X509Certificate2 leaf, IEnumerable<X509Certificate2> chain, AsymmetricAlgorithm key)
    {
        if (!UriSans.TryRead(leaf, out var uris, out var problem)) throw new FormatException(problem);
        if (uris is not [var uri]) throw new FormatException($"a certificate of a workload names one URI; this one {uris.Length}");
        var id = SpiffeId.Parse(uri);
        try
        {
            var owned = key switch
            {
                ECDsa ec => leaf.CopyWithPrivateKey(ec),
                RSA rsa => leaf.CopyWithPrivateKey(rsa),
                _ => throw new FormatException("its key is neither ECDSA nor RSA"),
            };
            return new Svid(id, owned, [.. chain.Where(c => !c.SubjectName.RawData.AsSpan().SequenceEqual(c.IssuerName.RawData))]);
        }
        catch (ArgumentException e)
        {
            throw new FormatException("the private key is not the certificate's", e);
        }
    }

    /// <summary>Reads leaf, intermediates and key; throws <see cref="FormatException"/> that says what is wrong.</summary>
    public static Svid FromPem(string certificates, string key)
    {
        var read = CertificatePem.Read(certificates);
        using AsymmetricAlgorithm privateKey = read[0].PublicKey.Oid.Value == KeyRules.RsaOid ? RSA.Create() : ECDsa.Create();
        try
        {
            privateKey.ImportFromPem(key);
        }
        catch (Exception e) when (e is ArgumentException or CryptographicException)
        {
            throw new FormatException("the private key cannot be read: expected one unencrypted PEM block of the certificate's kind", e);
        }

        return Create(read[0], read.Skip(1), privateKey);
    }

    /// <summary>When to ask for the next: at half its life, moved by up to a tenth of its life, so that a fleet started at once spreads.</summary>
    public DateTimeOffset RenewAt(Random random) =>
        NotBefore + (NotAfter - NotBefore) * (0.5 + (random.NextDouble() - 0.5) * 0.2);

    /// <summary>Leaf and intermediates as PEM.</summary>
    public string ChainPem() => CertificatePem.Write(Chain.Prepend(Certificate));

    /// <summary>The private key as PEM (PKCS#8). A secret.</summary>
    public string KeyPem()
    {
        using AsymmetricAlgorithm? key = (AsymmetricAlgorithm?)Certificate.GetECDsaPrivateKey() ?? Certificate.GetRSAPrivateKey();
        return key!.ExportPkcs8PrivateKeyPem() + "\n";
    }

    /// <summary>Leaf, intermediates and private key as PEM. A secret.</summary>
    public string ToPem() => ChainPem() + KeyPem();

    /// <inheritdoc/>
    public void Dispose()
    {
        Certificate.Dispose();
        foreach (var issuer in Chain) issuer.Dispose();
    }

    /// <summary>What it is, for logs; never the key.</summary>
    public override string ToString() => $"{Id} {Certificate.SerialNumber} until {NotAfter:u}";
}
