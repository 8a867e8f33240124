using System.Security.Cryptography.X509Certificates;

namespace Mesh.Api.Identity;

/// <summary>What a built chain must be: unbroken, in time, strong, and ending in a root of the bundle. Stateless.</summary>
internal static class ChainRules
{
    public static SvidVerdict Verify(SvidVerdict leaf, X509Chain chain, TrustBundle bundle, DateTimeOffset now)
    {
        var elements = chain.ChainElements;
        if (elements.Count > SvidVerifier.MostCertificates)
            return SvidVerdict.Refuse(SvidProblem.TooManyCertificates, $"its chain has {elements.Count} certificates");
        for (var i = 0; i < elements.Count; i++)
        {
            var times = VerifyTime(elements[i].Certificate, i == 0, now);
            if (times.Problem != SvidProblem.None) return times;
        }

        var flags = X509ChainStatusFlags.NoError;
        foreach (var status in chain.ChainStatus) flags |= status.Status;
        flags &= ~X509ChainStatusFlags.NotTimeValid;
        if (flags.HasFlag(X509ChainStatusFlags.NotSignatureValid))
            return SvidVerdict.Refuse(SvidProblem.BadSignature, "a signature in its chain is wrong");
        if ((flags & (X509ChainStatusFlags.PartialChain | X509ChainStatusFlags.UntrustedRoot)) != X509ChainStatusFlags.NoError || elements.Count == 0
            || !bundle.Contains(elements[^1].Certificate))
            return SvidVerdict.Refuse(SvidProblem.UnknownIssuer, $"no root of '{bundle.TrustDomain}' vouches for '{leaf.Id}': another authority, or a missing intermediate");
        return flags == X509ChainStatusFlags.NoError ? leaf : SvidVerdict.Refuse(SvidProblem.ChainRefused, $"its chain is refused: {flags}");
    }

    private static SvidVerdict VerifyTime(X509Certificate2 certificate, bool isLeaf, DateTimeOffset now)
    {
        var (from, to) = (certificate.NotBefore.ToUniversalTime(), certificate.NotAfter.ToUniversalTime());
        if (now.UtcDateTime > to)
        {
            return SvidVerdict.Refuse(isLeaf ? SvidProblem.Expired : SvidProblem.IssuerExpired,
                $"{(isLeaf ? "it" : "its issuer '" + certificate.Subject + "'")} ended at {to:u}; the clock here says {now:u}");
        }

        return now.UtcDateTime + SvidVerifier.ClockSkew < from
            ? SvidVerdict.Refuse(isLeaf ? SvidProblem.NotYetValid : SvidProblem.IssuerNotYetValid,
                $"{(isLeaf ? "it" : "its issuer '" + certificate.Subject + "'")} begins at {from:u}; the clock here says {now:u}, and {SvidVerifier.ClockSkew.TotalSeconds:0} s of difference are allowed")
            : default;
    }
}
