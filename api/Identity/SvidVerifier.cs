using System.Security.Cryptography.X509Certificates;

namespace Mesh.Api.Identity;

/// <summary>
/// Judges certificates by the rules of X509-SVID: the chain by the roots of the bundle alone (no system store, no network, no
/// revocation lists), then the leaf. Stateless but for the clock; safe from any thread.
/// </summary>
public sealed class SvidVerifier(TimeProvider time)
{
    /// <summary>The most certificates that are looked at: leaf, intermediates and root.</summary>
    public const int MostCertificates = 10;

    /// <summary>How far in the future a certificate may begin: clocks differ. There is no such grace after its end.</summary>
    public static readonly TimeSpan ClockSkew = TimeSpan.FromSeconds(60);

    /// <summary>
    /// How chains are built: give it to <c>CertificateChainPolicy</c> of a handshake, and the chain the handshake has built to
    /// <see cref="Verify(X509Certificate2?, X509Chain?, TrustBundle)"/>; then no chain is built twice.
    /// </summary>
    public X509ChainPolicy ChainPolicy(TrustBundle bundle)
    {
        var policy = new X509ChainPolicy
        {
            TrustMode = X509ChainTrustMode.CustomRootTrust,
            RevocationMode = X509RevocationMode.NoCheck,
            DisableCertificateDownloads = true,
            VerificationTime = time.GetUtcNow().UtcDateTime,
            VerificationTimeIgnored = false,
        };
        foreach (var root in bundle.Roots) policy.CustomTrustStore.Add(root);
        return policy;
    }

    /// <summary>Judges a leaf with the other certificates the peer sent, in any order.</summary>
    public SvidVerdict Verify(X509Certificate2 leaf, IEnumerable<X509Certificate2> intermediates, TrustBundle bundle)
    {
        using var chain = new X509Chain { ChainPolicy = ChainPolicy(bundle) };
        foreach (var certificate in intermediates)
        {
            if (chain.ChainPolicy.ExtraStore.Count >= MostCertificates - 1)
                return SvidVerdict.Refuse(SvidProblem.TooManyCertificates, $"more than {MostCertificates} certificates were sent");
            chain.ChainPolicy.ExtraStore.Add(certificate);
        }

        chain.Build(leaf);
        return Verify(leaf, chain, bundle);
    }

    /// <summary>Judges a leaf by the chain a handshake has built with <see cref="ChainPolicy"/>; both null when the peer showed none.</summary>
    public SvidVerdict Verify(X509Certificate2? leaf, X509Chain? built, TrustBundle bundle)
    {
        if (leaf is null || built is null) return SvidVerdict.Refuse(SvidProblem.NoCertificate, "the peer showed no certificate");
        var verdict = LeafRules.Verify(leaf, bundle.TrustDomain);
        return verdict.Problem == SvidProblem.None ? ChainRules.Verify(verdict, built, bundle, time.GetUtcNow()) : verdict;
    }
}
