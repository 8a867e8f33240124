using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;

namespace Mesh.Api.Identity.Agent;

/// <summary>
/// By what a control plane is known: roots, or a root's SHA-256 alone. Whoever does not prove by it to be the control plane of the
/// trust domain is refused in the handshake, before a byte of a request is sent. Made for one connection or many; thread safe.
/// </summary>
internal sealed class ControlPlaneTrust
{
    private readonly SvidVerifier verifier;
    private readonly TrustBundle? roots;
    private readonly string? pin;
    private readonly string expected;
    private readonly string trustDomain;

    private ControlPlaneTrust(SvidVerifier verifier, string trustDomain, TrustBundle? roots, string? pin)
    {
        (this.verifier, this.trustDomain, this.roots, this.pin) = (verifier, trustDomain, roots, pin);
        expected = ControlPlaneId.Of(trustDomain).ToString();
    }

    public static ControlPlaneTrust ByRoots(SvidVerifier verifier, TrustBundle roots) => new(verifier, roots.TrustDomain, roots, null);

    public static ControlPlaneTrust ByHash(SvidVerifier verifier, string trustDomain, string rootSha256) => new(verifier, trustDomain, null, rootSha256);

    /// <summary>TLS 1.3 with this check; <paramref name="own"/> is shown where the server asks for a certificate.</summary>
    public SslClientAuthenticationOptions Tls(Svid? own) => new()
    {
        EnabledSslProtocols = SslProtocols.Tls13,
        CertificateChainPolicy = SvidVerifier.HandshakePolicy(),
        CertificateRevocationCheckMode = X509RevocationMode.NoCheck,
        ClientCertificateContext = own?.TlsContext,
        // A resumed session would not be checked again.
        AllowTlsResume = false,
        AllowRenegotiation = false,
        RemoteCertificateValidationCallback = (_, leaf, chain, _) => Check(leaf, chain),
    };

    private bool Check(X509Certificate? leaf, X509Chain? chain)
    {
        var verdict = Judge(leaf, chain);
        // What is thrown here is what the caller of the connection gets to read.
        return verdict.Ok ? true : throw new AuthenticationException($"the control plane's certificate is refused ({verdict.Problem}): {verdict.Text}");
    }

    private SvidVerdict Judge(X509Certificate? leaf, X509Chain? chain)
    {
        if (leaf is not X509Certificate2 certificate) return SvidVerdict.Refuse(SvidProblem.NoCertificate, "it showed none");
        if (roots is not null) return verifier.Verify(certificate, chain, roots).Expecting(expected);
        if (!RootsExtension.Read(certificate, out var carried, out var problem)) return SvidVerdict.Refuse(SvidProblem.UnknownIssuer, problem);
        // Only the root of the hash counts. The others are public, too: anybody could have put them beside one of his own.
        var root = carried.FirstOrDefault(r => string.Equals(TrustBundle.Sha256(r), pin, StringComparison.Ordinal));
        if (root is null)
        {
            return SvidVerdict.Refuse(SvidProblem.UnknownIssuer,
                $"its roots ({string.Join(", ", carried.Select(TrustBundle.Sha256))}) are not the one the join token names ({pin}): another mesh, or the token is older than a change of the root");
        }

        try
        {
            return verifier.Verify(certificate, chain, new TrustBundle(trustDomain, [root])).Expecting(expected);
        }
        catch (FormatException e)
        {
            return SvidVerdict.Refuse(SvidProblem.UnknownIssuer, e.Message);
        }
    }
}
