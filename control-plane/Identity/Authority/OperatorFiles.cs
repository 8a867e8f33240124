using System.Collections.Immutable;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using Mesh.Api.Identity;

namespace Mesh.ControlPlane.Identity.Authority;

/// <summary>
/// The operator's own authority as files: by the names cert-manager writes (<c>tls.crt tls.key ca.crt</c>) or those of Istio's <c>cacerts</c>
/// (<c>ca-cert.pem ca-key.pem cert-chain.pem root-cert.pem</c>). Immutable content of one look at the folder.
/// </summary>
internal sealed record OperatorFiles
{
    private const int LargestFile = 1 << 20;
    private const UnixFileMode Loose = UnixFileMode.OtherRead | UnixFileMode.OtherWrite | UnixFileMode.OtherExecute | UnixFileMode.GroupWrite;

    private OperatorFiles(string issuer, string key, string chain, string roots) => (Issuer, Key, Chain, Roots) = (issuer, key, chain, roots);

    private string Issuer { get; }

    private string Key { get; }

    private string Chain { get; }

    private string Roots { get; }

    /// <summary>The same for the same content.</summary>
    public string Fingerprint => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(string.Join('\0', Issuer, Key, Chain, Roots))));

    /// <summary>Reads a folder; an <see cref="IOException"/> or <see cref="FormatException"/> says which file is missing or unreadable.</summary>
    public static OperatorFiles Read(string folder)
    {
        var (certManager, istio) = (File.Exists(Path.Combine(folder, "tls.crt")), File.Exists(Path.Combine(folder, "ca-cert.pem")));
        if (certManager && istio) throw new FormatException($"{folder} holds both tls.crt and ca-cert.pem: leave one set of files");
        if (!certManager && !istio)
            throw new FormatException($"{folder} holds neither tls.crt (with tls.key, ca.crt) nor ca-cert.pem (with ca-key.pem, cert-chain.pem, root-cert.pem)");
        return certManager
            ? new(ReadText(folder, "tls.crt"), ReadKey(folder, "tls.key"), "", ReadText(folder, "ca.crt"))
            : new(ReadText(folder, "ca-cert.pem"), ReadKey(folder, "ca-key.pem"), ReadText(folder, "cert-chain.pem"), ReadText(folder, "root-cert.pem"));
    }

    /// <summary>
    /// The authority the files make, tried out: what it signs is believed by the rules that sidecars have. A <see cref="FormatException"/> says
    /// what is wrong.
    /// </summary>
    public IssuingAuthority Open(string trustDomain, TimeProvider time)
    {
        var bundle = new TrustBundle(trustDomain, Named("the roots", () => CertificatePem.Read(Roots)));
        var certificates = Named("the issuing certificate", () => CertificatePem.Read(Issuer));
        if (Chain.Length > 0) certificates = certificates.AddRange(Named("cert-chain.pem", () => CertificatePem.Read(Chain)));
        CheckTrustDomain(certificates[0], trustDomain);
        var withKey = WithKey(certificates[0], Key);
        var signer = Signer.Of(withKey, certificates.Skip(1), RootOf(certificates, bundle, time));
        var problem = Try(signer, bundle, time);
        return problem is null ? new IssuingAuthority(bundle, signer) : throw new FormatException("certificates it issues would be refused: " + problem);
    }

    // An authority need not say whose it is; one that does is of this mesh.
    private static void CheckTrustDomain(X509Certificate2 issuer, string trustDomain)
    {
        if (!UriSans.TryRead(issuer, out var uris, out var problem)) throw new FormatException($"the issuing certificate: {problem}");
        if (uris.FirstOrDefault(uri => uri.StartsWith("spiffe://", StringComparison.Ordinal) && uri != $"spiffe://{trustDomain}") is { } other)
            throw new FormatException($"the issuing certificate is of {other}, and --trust-domain says {trustDomain}");
    }

    private static X509Certificate2 RootOf(ImmutableArray<X509Certificate2> certificates, TrustBundle bundle, TimeProvider time)
    {
        using var chain = new X509Chain { ChainPolicy = SvidVerifier.HandshakePolicy() };
        (chain.ChainPolicy.VerificationTime, chain.ChainPolicy.VerificationTimeIgnored) = (time.GetUtcNow().UtcDateTime, false);
        foreach (var root in bundle.Roots) chain.ChainPolicy.CustomTrustStore.Add(root);
        foreach (var above in certificates.Skip(1)) chain.ChainPolicy.ExtraStore.Add(above);
        chain.Build(certificates[0]);
        var top = chain.ChainElements.Count > 0 ? chain.ChainElements[^1].Certificate : certificates[0];
        return bundle.Contains(top)
            ? X509CertificateLoader.LoadCertificate(top.RawDataMemory.Span)
            : throw new FormatException($"none of the roots given is above the issuing certificate '{certificates[0].Subject}' (issued by '{certificates[0].Issuer}')");
    }

    private static string? Try(Signer signer, TrustBundle bundle, TimeProvider time)
    {
        try
        {
            using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
            var id = SpiffeId.Parse($"spiffe://{bundle.TrustDomain}/ns/mesh-system/sa/trial");
            var now = time.GetUtcNow();
            using var leaf = signer.Sign(CertificateForms.Leaf(id, new PublicKey(key), signer), now, now.AddMinutes(1), CertificateForms.NewSerial());
            var verdict = new SvidVerifier(time).Verify(leaf, signer.Chain, bundle);
            return verdict.Ok ? null : verdict.Text;
        }
        catch (Exception e) when (e is CryptographicException or ArgumentException)
        {
            return e.Message;
        }
    }

    private static X509Certificate2 WithKey(X509Certificate2 certificate, string pem)
    {
        try
        {
            return X509Certificate2.CreateFromPem(CertificatePem.Write([certificate]), pem);
        }
        catch (Exception e) when (e is CryptographicException or ArgumentException)
        {
            throw new FormatException($"the private key is no unencrypted PEM key of the issuing certificate '{certificate.Subject}'", e);
        }
    }

    private static T Named<T>(string what, Func<T> read)
    {
        try
        {
            return read();
        }
        catch (FormatException e)
        {
            throw new FormatException($"{what}: {e.Message}", e);
        }
    }

    private static string ReadText(string folder, string name)
    {
        var path = Path.Combine(folder, name);
        if (!File.Exists(path)) throw new FormatException($"{path} is missing");
        using var file = new FileStream(RegularFiles.Open(path), FileAccess.Read);
        if (file.Length > LargestFile) throw new FormatException($"{path} has {file.Length} bytes; {LargestFile} are allowed");
        using var reader = new StreamReader(file, Encoding.ASCII);
        return reader.ReadToEnd();
    }

    // Mounted secrets are links, and belong to the pod's group: that much is let through, and nothing to others.
    private static string ReadKey(string folder, string name)
    {
        var path = Path.Combine(folder, name);
        if (!File.Exists(path)) throw new FormatException($"{path} is missing");
        var mode = File.GetUnixFileMode(path);
        if ((mode & Loose) != UnixFileMode.None)
        {
            throw new FormatException(
                $"{path} has mode {Convert.ToString((int)mode, 8).PadLeft(4, '0')}: others may use the key; run: chmod 600 {path} (in a pod: defaultMode: 0400 on the volume)");
        }

        return ReadText(folder, name);
    }
}
