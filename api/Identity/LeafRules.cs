using System.Security.Cryptography.X509Certificates;

namespace Mesh.Api.Identity;

/// <summary>What a leaf must be to be an SVID, by itself: its one URI, and what its key may do. Stateless.</summary>
internal static class LeafRules
{
    private const string ServerAuthentication = "1.3.6.1.5.5.7.3.1";
    private const string ClientAuthentication = "1.3.6.1.5.5.7.3.2";

    public static SvidVerdict Verify(X509Certificate2 leaf, string trustDomain)
    {
        if (leaf.Version != 3) return SvidVerdict.Refuse(SvidProblem.NotVersion3, $"the certificate is of version {leaf.Version}; an SVID of version 3");
        if (CertificateRules.Verify(leaf, 0, isRoot: false) is { Problem: not SvidProblem.None } refused) return refused;
        var usage = VerifyUsage(leaf);
        return usage.Problem == SvidProblem.None ? VerifyName(leaf, trustDomain) : usage;
    }

    private static SvidVerdict VerifyName(X509Certificate2 leaf, string trustDomain)
    {
        var problem = UriSans.TryRead(leaf, out var uris, out var critical, out var text);
        if (problem != SvidProblem.None) return SvidVerdict.Refuse(problem, text!);
        if (uris.IsEmpty) return SvidVerdict.Refuse(SvidProblem.NoUriSan, "it has no URI among its subject alternative names");
        if (uris.Length > 1) return SvidVerdict.Refuse(SvidProblem.ManyUriSans, $"it has {uris.Length} URIs among its subject alternative names; an SVID has one");
        if (!critical && leaf.SubjectName.RawData.Length <= 2)
            return SvidVerdict.Refuse(SvidProblem.SanNotCritical, "its subject is empty and its subject alternative names are not critical");
        if (!SpiffeId.TryParse(uris[0], out var id, out var bad)) return SvidVerdict.Refuse(SvidProblem.InvalidSpiffeId, $"'{uris[0]}': {bad}");
        if (id.Path.Length == 0) return SvidVerdict.Refuse(SvidProblem.IdWithoutPath, $"'{id}' names a trust domain, not a workload");
        return string.Equals(id.TrustDomain, trustDomain, StringComparison.Ordinal)
            ? new(id, SvidProblem.None, "")
            : SvidVerdict.Refuse(SvidProblem.WrongTrustDomain, $"'{id}' is of another trust domain than '{trustDomain}'");
    }

    private static SvidVerdict VerifyUsage(X509Certificate2 leaf)
    {
        X509KeyUsageExtension? usage = null;
        foreach (var extension in leaf.Extensions)
        {
            if (extension is X509BasicConstraintsExtension { CertificateAuthority: true })
                return SvidVerdict.Refuse(SvidProblem.LeafIsAuthority, "it is a certificate authority, no workload's certificate");
            if (extension is X509KeyUsageExtension found) usage = found;
            if (extension is X509EnhancedKeyUsageExtension purposes && VerifyPurposes(purposes) is { } refused) return refused;
        }

        return VerifyKeyUsage(usage);
    }

    private static SvidVerdict VerifyKeyUsage(X509KeyUsageExtension? usage) => usage switch
    {
        null => SvidVerdict.Refuse(SvidProblem.NoKeyUsage, "it does not say what its key may be used for"),
        { Critical: false } => SvidVerdict.Refuse(SvidProblem.KeyUsageNotCritical, "its key usage is not critical"),
        _ when usage.KeyUsages.HasFlag(X509KeyUsageFlags.KeyCertSign) =>
            SvidVerdict.Refuse(SvidProblem.LeafSignsCertificates, "its key may sign certificates, which no workload's may"),
        _ when usage.KeyUsages.HasFlag(X509KeyUsageFlags.CrlSign) =>
            SvidVerdict.Refuse(SvidProblem.LeafSignsRevocations, "its key may sign revocation lists, which no workload's may"),
        _ when !usage.KeyUsages.HasFlag(X509KeyUsageFlags.DigitalSignature) =>
            SvidVerdict.Refuse(SvidProblem.NoDigitalSignature, "its key may not sign"),
        _ => default,
    };

    private static SvidVerdict? VerifyPurposes(X509EnhancedKeyUsageExtension purposes)
    {
        var all = purposes.EnhancedKeyUsages.Cast<System.Security.Cryptography.Oid>().Select(o => o.Value).ToList();
        if (!all.Contains(ServerAuthentication))
            return SvidVerdict.Refuse(SvidProblem.NoServerAuthentication, "serving is not among the purposes it names");
        return all.Contains(ClientAuthentication)
            ? null
            : SvidVerdict.Refuse(SvidProblem.NoClientAuthentication, "calling is not among the purposes it names");
    }
}
