using System.Security.Cryptography.X509Certificates;

namespace Mesh.Api.Identity;

/// <summary>What each certificate of a chain must be by its place in it. Stateless.</summary>
internal static class CertificateRules
{
    /// <summary>Why a certificate may not stand at this place: 0 the leaf, 1 its issuer, and so on.</summary>
    public static SvidVerdict Verify(X509Certificate2 certificate, int place, bool isRoot)
    {
        var who = place == 0 ? "it" : $"its issuer '{certificate.Subject}'";
        if (DoubledExtension(certificate) is { } oid)
            return SvidVerdict.Refuse(SvidProblem.DuplicateExtension, $"{who} has the extension {oid} twice");
        var key = KeyRules.ProblemOf(certificate.PublicKey, out var weak);
        if (key != SvidProblem.None) return SvidVerdict.Refuse(key, place == 0 ? weak : $"{who}: {weak}");
        // Nobody relies on a root's signature of itself.
        if (!isRoot && SignatureRules.ProblemOf(certificate) is { } broken)
            return SvidVerdict.Refuse(SvidProblem.WeakSignature, $"{who} is signed by {broken}");
        return place == 0 ? default : VerifyIssuer(certificate, place, who);
    }

    private static SvidVerdict VerifyIssuer(X509Certificate2 certificate, int place, string who)
    {
        var basic = certificate.Extensions.OfType<X509BasicConstraintsExtension>().FirstOrDefault();
        if (basic is not { CertificateAuthority: true })
            return SvidVerdict.Refuse(SvidProblem.IssuerNotAuthority, $"{who} is no certificate authority");
        var usage = certificate.Extensions.OfType<X509KeyUsageExtension>().FirstOrDefault();
        if (usage is not null && !usage.KeyUsages.HasFlag(X509KeyUsageFlags.KeyCertSign))
            return SvidVerdict.Refuse(SvidProblem.IssuerMaySignNothing, $"{who} has a key that may not sign certificates");
        if (basic.HasPathLengthConstraint && place - 1 > basic.PathLengthConstraint)
            return SvidVerdict.Refuse(SvidProblem.PathTooLong, $"{who} allows {basic.PathLengthConstraint} authorities below it; there are {place - 1}");
        return VerifyIssuerName(certificate, who);
    }

    /// <summary>An issuer that is named as a workload is somebody's leaf that should not have become one.</summary>
    private static SvidVerdict VerifyIssuerName(X509Certificate2 certificate, string who)
    {
        var problem = UriSans.TryRead(certificate, out var uris, out _, out var text);
        if (problem != SvidProblem.None) return SvidVerdict.Refuse(problem, $"{who}: {text}");
        foreach (var uri in uris)
        {
            if (!uri.StartsWith("spiffe:", StringComparison.OrdinalIgnoreCase)) continue;
            if (!SpiffeId.TryParse(uri, out var id, out var bad))
                return SvidVerdict.Refuse(SvidProblem.IssuerIdentity, $"{who} names itself '{uri}': {bad}");
            if (id.Path.Length > 0) return SvidVerdict.Refuse(SvidProblem.IssuerIdentity, $"{who} names itself '{uri}', a workload");
        }

        return default;
    }

    private static string? DoubledExtension(X509Certificate2 certificate)
    {
        var extensions = certificate.Extensions;
        for (var i = 1; i < extensions.Count; i++)
        {
            for (var j = 0; j < i; j++)
            {
                if (string.Equals(extensions[i].Oid?.Value, extensions[j].Oid?.Value, StringComparison.Ordinal)) return extensions[i].Oid?.Value;
            }

            // A certificate with thousands would be work for nothing.
            if (i > 64) return "(more than 64 extensions)";
        }

        return null;
    }
}
