using System.Security.Cryptography.X509Certificates;
using Mesh.Api.Identity;
using Mesh.Api.Operators;
using Mesh.ControlPlane.Identity;
using Mesh.ControlPlane.Identity.Authority;
using Mesh.ControlPlane.Identity.Rotation;

namespace Mesh.ControlPlane.Admin;

/// <summary>The certificate authority as operators see it, with warnings of what ends soon. Thread safe.</summary>
internal sealed class AuthorityReport(MeshIdentity identity, TimeProvider time)
{
    private static readonly TimeSpan OperatorsIssuerSoon = TimeSpan.FromDays(30);
    private static readonly TimeSpan RenewalOverdue = TimeSpan.FromDays(1);
    private static readonly TimeSpan RotationSlow = TimeSpan.FromDays(2);

    /// <summary>How it stands.</summary>
    public AuthorityStatus Of(RotationReport? rotation)
    {
        var now = identity.Authority.Current;
        return new AuthorityStatus
        {
            TrustDomain = identity.Authority.TrustDomain,
            Store = identity.KeptIn,
            CertificateLifetimeSeconds = identity.Authority.Lifetimes.Leaf.TotalSeconds,
            Roots = [.. now.Bundle.Roots.Select(root => Of(root, TrustBundle.Sha256(root) == now.Issuer.RootId))],
            Issuers = [.. new[] { now.Issuer, now.OwnIssuer }.DistinctBy(issuer => issuer.Id).Select(issuer => Of(issuer.Certificate, issuer.Id == now.Issuer.Id))],
            Rotation = rotation is null ? null : StatusOf(rotation),
            Warnings = [.. Warnings(now, rotation)],
        };
    }

    private IEnumerable<string> Warnings(IssuingAuthority authority, RotationReport? rotation)
    {
        var now = time.GetUtcNow();
        if (identity.Operators?.Problem is { } problem) yield return $"the files of your authority are refused, the last good ones serve on: {problem}";
        var (root, issuer) = (authority.Issuer.Root, authority.Issuer);
        var rootEnd = EndOf(root);
        if (rootEnd <= now) yield return $"the root '{root.Subject}' ended at {rootEnd:u}: nobody believes anybody; {RootAdvice}";
        else if (rootEnd - now < identity.Authority.Lifetimes.Issuer) yield return $"the root '{root.Subject}' ends at {rootEnd:u}, in {(rootEnd - now).TotalDays:0} days: {RootAdvice}";
        if (issuer.NotAfter <= now && rootEnd > now) yield return $"the issuing certificate ended at {issuer.NotAfter:u}: no certificates are issued";
        else if (identity.Operators is not null && issuer.NotAfter - now < OperatorsIssuerSoon) yield return $"your issuing certificate ends at {issuer.NotAfter:u}: put a new one into the folder";
        else if (identity.Operators is null && rootEnd > issuer.NotAfter && now > Lifetimes.RenewIssuerAt(issuer.NotBefore, issuer.NotAfter) + RenewalOverdue)
            yield return $"the issuing certificate should have been renewed by now; it ends at {issuer.NotAfter:u}: the log of the control plane says why not";
        if (rotation is { State: { Phase: not RotationPhase.Done } state } && now - state.PhaseSince > RotationSlow)
            yield return $"the change of roots is in its phase {NameOf(state.Phase)} since {state.PhaseSince:u}: meshctl ca rotate says who holds it up, --force passes over them";
    }

    private string RootAdvice => identity.Operators is null ? "meshctl ca rotate makes a new one" : "put a new one into the folder";

    private static RotationStatus StatusOf(RotationReport report) => new()
    {
        Phase = report.State is { } state ? NameOf(state.Phase) : "not begun",
        Done = report.State is null or { Phase: RotationPhase.Done },
        Rehearsal = report.State is null,
        Started = report.State?.Started ?? default,
        WaitingFor = [.. report.WaitsFor.Select(laggard => laggard.Node)],
        Text = report.Text,
    };

    private static AuthorityCertificate Of(X509Certificate2 certificate, bool isActive) => new()
    {
        Subject = certificate.Subject,
        Sha256 = TrustBundle.Sha256(certificate),
        NotBefore = new DateTimeOffset(certificate.NotBefore.ToUniversalTime(), TimeSpan.Zero),
        NotAfter = EndOf(certificate),
        Active = isActive,
    };

    private static DateTimeOffset EndOf(X509Certificate2 certificate) => new(certificate.NotAfter.ToUniversalTime(), TimeSpan.Zero);

    private static string NameOf(RotationPhase phase) => phase switch
    {
        RotationPhase.Distribute => "distribute",
        RotationPhase.Renew => "renew",
        _ => "done",
    };
}
