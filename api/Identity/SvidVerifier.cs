using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Mesh.Api.Identity;

/// <summary>
/// Judges certificates by the rules of X509-SVID: the chain by the roots of the bundle alone (no system store, no network, no
/// revocation lists), then the leaf. What was found good is remembered until it ends, by bundle and leaf, so that a peer that comes
/// back costs a hash and no chain. Safe from any thread; make one a process.
/// </summary>
public sealed class SvidVerifier(TimeProvider time)
{
    /// <summary>The most certificates that are looked at: leaf, intermediates and root.</summary>
    public const int MostCertificates = 10;

    /// <summary>The largest certificate that is looked at, in bytes: the control plane's carries the roots.</summary>
    public const int LargestCertificate = 128 * 1024;

    /// <summary>How far in the future a certificate may begin: clocks differ. There is no such grace after its end.</summary>
    public static readonly TimeSpan ClockSkew = TimeSpan.FromSeconds(60);

    private readonly ProvenLeaves proven = new();

    /// <summary>
    /// For <c>CertificateChainPolicy</c> of a handshake. <see cref="System.Net.Security.SslStream"/> always builds a chain; by this policy it has
    /// nothing to build, which costs a twentieth, and the chain that counts is built by
    /// <see cref="Verify(X509Certificate?, X509Chain?, TrustBundle)"/>, once for each certificate.
    /// </summary>
    public static X509ChainPolicy HandshakePolicy() => new()
    {
        TrustMode = X509ChainTrustMode.CustomRootTrust,
        RevocationMode = X509RevocationMode.NoCheck,
        DisableCertificateDownloads = true,
    };

    /// <summary>
    /// Judges the peer of a handshake, by what its validation callback is given. The chain is only asked for the certificates the peer
    /// sent; both are null when it sent none.
    /// </summary>
    public SvidVerdict Verify(X509Certificate? leaf, X509Chain? handshake, TrustBundle bundle) =>
        leaf is X509Certificate2 certificate
            ? Verify(certificate, handshake?.ChainPolicy.ExtraStore ?? [], bundle)
            : SvidVerdict.Refuse(SvidProblem.NoCertificate, "the peer showed no certificate");

    /// <summary>Judges a leaf with the other certificates the peer sent, in any order; the leaf may be among them.</summary>
    public SvidVerdict Verify(X509Certificate2 leaf, IEnumerable<X509Certificate2> intermediates, TrustBundle bundle)
    {
        var now = time.GetUtcNow();
        var key = ProvenLeaves.KeyOf(leaf, bundle);
        if (proven.Find(key, now) is { } known) return new(known.Id, SvidProblem.None, "") { Root = known.Root };
        var sent = intermediates.Take(MostCertificates + 1).ToList();
        if (sent.Count > MostCertificates)
            return SvidVerdict.Refuse(SvidProblem.TooManyCertificates, $"more than {MostCertificates} certificates were sent");
        try
        {
            return VerifyAnew(leaf, sent, bundle, key, now);
        }
        catch (CryptographicException e)
        {
            // An extension is decoded when it is first looked at.
            return SvidVerdict.Refuse(SvidProblem.MalformedExtension, "a certificate of its chain cannot be read: " + e.Message);
        }
    }

    private SvidVerdict VerifyAnew(X509Certificate2 leaf, List<X509Certificate2> sent, TrustBundle bundle, ProvenLeaves.Key key, DateTimeOffset now)
    {
        if (sent.Append(leaf).FirstOrDefault(c => c.RawDataMemory.Length > LargestCertificate) is { } large)
            return SvidVerdict.Refuse(SvidProblem.CertificateTooLarge, $"a certificate has {large.RawDataMemory.Length} bytes; {LargestCertificate} are looked at");
        var verdict = LeafRules.Verify(leaf, bundle.TrustDomain);
        if (!verdict.Ok) return verdict;
        using var chain = new X509Chain { ChainPolicy = PolicyOf(bundle, sent, now) };
        chain.Build(leaf);
        var refused = ChainRules.Verify(chain, sent, bundle, now);
        if (refused.Problem != SvidProblem.None) return refused;
        return verdict with { Root = proven.Keep(key, verdict.Id!, chain).Root };
    }

    private static X509ChainPolicy PolicyOf(TrustBundle bundle, List<X509Certificate2> sent, DateTimeOffset now)
    {
        var policy = HandshakePolicy();
        (policy.VerificationTime, policy.VerificationTimeIgnored) = (now.UtcDateTime, false);
        foreach (var root in bundle.Roots) policy.CustomTrustStore.Add(root);
        foreach (var certificate in sent) policy.ExtraStore.Add(certificate);
        return policy;
    }
}
