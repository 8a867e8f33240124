using System.Security.Cryptography.X509Certificates;
using Mesh.Api.Identity;

namespace Mesh.ControlPlane.Identity.Access;

/// <summary>
/// The certificate a connection was opened with: a feature of the connection, to be judged again when the roots change. Keeps bytes, since the
/// handshake disposes what it was given. Thread safe.
/// </summary>
internal sealed class ShownCertificate
{
    private readonly SvidVerifier verifier;
    private readonly byte[] leaf;
    private readonly byte[][] sent;
    private volatile TrustBundle believedBy;

    /// <summary>One that was found good.</summary>
    /// <param name="verifier">Judges it again.</param>
    /// <param name="leaf">The certificate.</param>
    /// <param name="sent">What came with it.</param>
    /// <param name="bundle">The roots by which it was found good.</param>
    public ShownCertificate(SvidVerifier verifier, X509Certificate leaf, X509Chain? sent, TrustBundle bundle) =>
        (this.verifier, this.leaf, this.sent, believedBy) = (verifier, leaf.GetRawCertData(), [.. (sent?.ChainPolicy.ExtraStore ?? []).Select(one => one.RawData)], bundle);

    /// <summary>Whether it is good by these roots. Costs nothing while they stay the same.</summary>
    public bool IsBelieved(TrustBundle bundle)
    {
        if (ReferenceEquals(bundle, believedBy) || bundle.Fingerprint == believedBy.Fingerprint) return true;
        using var certificate = X509CertificateLoader.LoadCertificate(leaf);
        var others = sent.Select(bytes => X509CertificateLoader.LoadCertificate(bytes)).ToArray();
        var isBelieved = verifier.Verify(certificate, others, bundle).Ok;
        foreach (var other in others) other.Dispose();
        if (isBelieved) believedBy = bundle;
        return isBelieved;
    }
}
