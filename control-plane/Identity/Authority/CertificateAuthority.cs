using System.Security.Cryptography.X509Certificates;
using Mesh.Api.Identity;

namespace Mesh.ControlPlane.Identity.Authority;

/// <summary>
/// Signs certificates with the authority in force. Knows nothing of who may have one. Thread safe: one volatile reference is read, and
/// replaced by whoever looks after the keys (<see cref="MeshAuthority"/> or <see cref="OperatorAuthority"/>).
/// </summary>
internal sealed class CertificateAuthority(string trustDomain, Lifetimes lifetimes, TimeProvider time)
{
    /// <summary>The least life that is worth issuing.</summary>
    private static readonly TimeSpan Least = TimeSpan.FromSeconds(1);
    private volatile IssuingAuthority? current;

    /// <summary>Raised after <see cref="Current"/> changed. Handlers only signal.</summary>
    public event Action? Changed;

    /// <summary>The trust domain of every certificate.</summary>
    public string TrustDomain => trustDomain;

    /// <summary>How long certificates live.</summary>
    public Lifetimes Lifetimes => lifetimes;

    /// <summary>The authority in force; not read before the first one was taken.</summary>
    public IssuingAuthority Current => current ?? throw new InvalidOperationException("no authority was taken into use yet");

    /// <summary>Takes an authority into use.</summary>
    public void Use(IssuingAuthority authority)
    {
        var before = current;
        current = authority;
        if (before is null || before.Bundle.Fingerprint != authority.Bundle.Fingerprint || before.Issuer.Id != authority.Issuer.Id || before.OwnIssuer.Id != authority.OwnIssuer.Id)
            Changed?.Invoke();
    }

    /// <summary>Issues a workload's certificate: an X.509-SVID of this ID over this key, and nothing else anybody asked for.</summary>
    /// <exception cref="IssuingException">The issuing certificate has ended.</exception>
    public IssuedCertificate Issue(SpiffeId id, PublicKey key, Holder holder, TimeSpan? life = null)
    {
        var authority = Current;
        if (id.TrustDomain != trustDomain || id.Path.Length == 0) throw new ArgumentException($"{id} is no workload of {trustDomain}", nameof(id));
        return Sign(authority, authority.Issuer, CertificateForms.Leaf(id, key, authority.Issuer), id, holder.NextSerial(), lifetimes.LeafFor(life));
    }

    /// <summary>Issues the control plane's own certificate, which carries the roots for those who know no more than the hash of one.</summary>
    public IssuedCertificate IssueOwn(SpiffeId id, PublicKey key)
    {
        var authority = Current;
        var request = CertificateForms.Leaf(id, key, authority.OwnIssuer);
        request.CertificateExtensions.Add(RootsExtension.Create(authority.Bundle.Roots));
        return Sign(authority, authority.OwnIssuer, request, id, CertificateForms.NewSerial(), lifetimes.Leaf);
    }

    private IssuedCertificate Sign(IssuingAuthority authority, Signer issuer, CertificateRequest request, SpiffeId id, byte[] serial, TimeSpan life)
    {
        var now = time.GetUtcNow();
        if (issuer.NotAfter - now < Least)
            throw new IssuingException($"the issuing certificate ended at {issuer.NotAfter:u}, and it is {now:u}: see meshctl ca status");
        if (issuer.NotBefore > now + SvidVerifier.ClockSkew)
            throw new IssuingException($"the issuing certificate begins at {issuer.NotBefore:u}, and it is {now:u}: is the clock right?");
        var leaf = issuer.Sign(request, Lifetimes.BeginOf(life, now), now + life, serial);
        return new IssuedCertificate(id, leaf, issuer.Chain, authority.Bundle, issuer.RootId);
    }
}
