using System.Security.Cryptography.X509Certificates;

namespace Mesh.Api.Identity;

/// <summary>What a built chain must be: strong, in time, issued by authorities, unbroken, and ending in a root of the bundle. Stateless.</summary>
internal static class ChainRules
{
    private const X509ChainStatusFlags Broken = X509ChainStatusFlags.PartialChain | X509ChainStatusFlags.UntrustedRoot;
    private const X509ChainStatusFlags Names = X509ChainStatusFlags.InvalidNameConstraints | X509ChainStatusFlags.HasNotSupportedNameConstraint
        | X509ChainStatusFlags.HasNotDefinedNameConstraint | X509ChainStatusFlags.HasNotPermittedNameConstraint
        | X509ChainStatusFlags.HasExcludedNameConstraint;

    /// <summary>Why the chain is refused; <see cref="SvidProblem.None"/> when it is good.</summary>
    public static SvidVerdict Verify(X509Chain chain, List<X509Certificate2> sent, TrustBundle bundle, DateTimeOffset now)
    {
        var path = chain.ChainElements.Select(e => e.Certificate).ToList();
        if (path.Count is 0 or > SvidVerifier.MostCertificates)
            return SvidVerdict.Refuse(SvidProblem.TooManyCertificates, $"its chain has {path.Count} certificates");
        for (var i = 0; i < path.Count; i++)
        {
            var isRoot = bundle.Contains(path[i]);
            if (CertificateRules.Verify(path[i], i, isRoot) is { Problem: not SvidProblem.None } refused) return refused;
            if (VerifyTime(path[i], i == 0, now) is { Problem: not SvidProblem.None } untimely) return untimely;
        }

        var flags = X509ChainStatusFlags.NoError;
        foreach (var status in chain.ChainStatus) flags |= status.Status;
        // Times were looked at above, with the skew that is allowed.
        return Verify(flags & ~X509ChainStatusFlags.NotTimeValid, path, sent, bundle);
    }

    private static SvidVerdict Verify(X509ChainStatusFlags flags, List<X509Certificate2> path, List<X509Certificate2> sent, TrustBundle bundle)
    {
        if (Has(flags, X509ChainStatusFlags.NotSignatureValid))
            return SvidVerdict.Refuse(SvidProblem.BadSignature, "a signature in its chain is wrong: its issuer did not make it");
        if (Has(flags, X509ChainStatusFlags.HasNotSupportedCriticalExtension))
            return SvidVerdict.Refuse(SvidProblem.UnknownCriticalExtension, "a certificate of its chain has a critical extension that is not understood");
        if (Has(flags, Names))
            return SvidVerdict.Refuse(SvidProblem.NameNotPermitted, "an issuer of its chain may not vouch for its names");
        if (Has(flags, Broken) || !bundle.Contains(path[^1])) return ExplainEnd(path[^1], sent, bundle);
        return flags == X509ChainStatusFlags.NoError ? default : SvidVerdict.Refuse(SvidProblem.ChainRefused, $"its chain is refused: {flags}");
    }

    /// <summary>The chain ends too early: says so, or what is wrong with the sent certificate that should have been next.</summary>
    private static SvidVerdict ExplainEnd(X509Certificate2 last, List<X509Certificate2> sent, TrustBundle bundle)
    {
        foreach (var candidate in sent)
        {
            if (!SameName(candidate.SubjectName, last.IssuerName) || candidate.RawDataMemory.Span.SequenceEqual(last.RawDataMemory.Span)) continue;
            if (CertificateRules.Verify(candidate, 1, isRoot: false) is { Problem: not SvidProblem.None } refused) return refused;
        }

        var why = SameName(last.SubjectName, last.IssuerName) ? "it is signed by itself or by another authority" : $"nobody knows '{last.Issuer}': another authority, or a missing intermediate";
        return SvidVerdict.Refuse(SvidProblem.UnknownIssuer, $"no root of '{bundle.TrustDomain}' vouches for it: {why}");
    }

    private static SvidVerdict VerifyTime(X509Certificate2 certificate, bool isLeaf, DateTimeOffset now)
    {
        var (from, to) = (certificate.NotBefore.ToUniversalTime(), certificate.NotAfter.ToUniversalTime());
        var who = isLeaf ? "it" : $"its issuer '{certificate.Subject}'";
        if (now.UtcDateTime > to)
            return SvidVerdict.Refuse(isLeaf ? SvidProblem.Expired : SvidProblem.IssuerExpired, $"{who} ended at {to:u}; the clock here says {now:u}");
        if (now.UtcDateTime + SvidVerifier.ClockSkew >= from) return default;
        return SvidVerdict.Refuse(isLeaf ? SvidProblem.NotYetValid : SvidProblem.IssuerNotYetValid,
            $"{who} begins at {from:u}; the clock here says {now:u}, and clocks may differ by {SvidVerifier.ClockSkew.TotalSeconds:0} s");
    }

    private static bool SameName(X500DistinguishedName one, X500DistinguishedName other) => one.RawData.AsSpan().SequenceEqual(other.RawData);

    private static bool Has(X509ChainStatusFlags flags, X509ChainStatusFlags any) => (flags & any) != X509ChainStatusFlags.NoError;
}
