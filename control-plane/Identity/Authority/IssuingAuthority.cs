using System.Collections.Immutable;
using System.Security.Cryptography.X509Certificates;
using Mesh.Api.Identity;

namespace Mesh.ControlPlane.Identity.Authority;

/// <summary>The authority in force: what is believed, and what signs. Immutable, replaced whole.</summary>
/// <param name="Bundle">The roots believed in the mesh.</param>
/// <param name="Issuer">Signs workloads' certificates.</param>
internal sealed record IssuingAuthority(TrustBundle Bundle, Signer Issuer)
{
    /// <summary>
    /// Signs the control plane's own certificate. While the root changes it stays under the old one until that goes: whoever has only a join
    /// token knows the control plane by the root that was in force when the token was made.
    /// </summary>
    public Signer OwnIssuer { get; init; } = Issuer;
}

/// <summary>A certificate that was issued. Immutable.</summary>
/// <param name="Id">Whom it names.</param>
/// <param name="Leaf">The certificate.</param>
/// <param name="Chain">The certificates up to the root, without it.</param>
/// <param name="Bundle">What its holder is to believe.</param>
/// <param name="RootId">SHA-256 of the root above it.</param>
internal sealed record IssuedCertificate(
    SpiffeId Id, X509Certificate2 Leaf, ImmutableArray<X509Certificate2> Chain, TrustBundle Bundle, string RootId)
{
    /// <summary>Until when it is believed.</summary>
    public DateTimeOffset NotAfter => new(Leaf.NotAfter.ToUniversalTime(), TimeSpan.Zero);
}

/// <summary>No certificate can be issued; the message says why and what to do.</summary>
internal sealed class IssuingException(string message) : Exception(message);
