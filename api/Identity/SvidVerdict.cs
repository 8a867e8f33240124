namespace Mesh.Api.Identity;

/// <summary>Why a certificate is no SVID that may be believed: one value a reason.</summary>
public enum SvidProblem
{
    /// <summary>None: it is believed.</summary>
    None,

    /// <summary>The peer showed no certificate.</summary>
    NoCertificate,

    /// <summary>The bundle has no roots.</summary>
    EmptyBundle,

    /// <summary>More certificates were sent than are looked at.</summary>
    TooManyCertificates,

    /// <summary>A certificate is larger than is looked at.</summary>
    CertificateTooLarge,

    /// <summary>Not version 3, so it cannot say what it is for.</summary>
    NotVersion3,

    /// <summary>An extension is there twice, and the two could say different things.</summary>
    DuplicateExtension,

    /// <summary>An extension cannot be read.</summary>
    MalformedExtension,

    /// <summary>An extension that must be understood is not.</summary>
    UnknownCriticalExtension,

    /// <summary>The subject alternative names cannot be read.</summary>
    MalformedSan,

    /// <summary>No URI names the workload.</summary>
    NoUriSan,

    /// <summary>More than one URI; an SVID has exactly one.</summary>
    ManyUriSans,

    /// <summary>The subject is empty, and the alternative names that stand in for it are not critical.</summary>
    SanNotCritical,

    /// <summary>The URI is no SPIFFE ID.</summary>
    InvalidSpiffeId,

    /// <summary>The ID names a trust domain, not a workload.</summary>
    IdWithoutPath,

    /// <summary>The ID is of another trust domain than the bundle.</summary>
    WrongTrustDomain,

    /// <summary>The leaf is a certificate authority.</summary>
    LeafIsAuthority,

    /// <summary>It does not say what its key may be used for.</summary>
    NoKeyUsage,

    /// <summary>The key usage is not critical.</summary>
    KeyUsageNotCritical,

    /// <summary>Its key may not sign.</summary>
    NoDigitalSignature,

    /// <summary>The leaf's key may sign certificates.</summary>
    LeafSignsCertificates,

    /// <summary>The leaf's key may sign revocation lists.</summary>
    LeafSignsRevocations,

    /// <summary>It says what it is for, and serving is not among it.</summary>
    NoServerAuthentication,

    /// <summary>It says what it is for, and calling is not among it.</summary>
    NoClientAuthentication,

    /// <summary>The key is of a kind that is not taken.</summary>
    UnsupportedKey,

    /// <summary>A key is too short.</summary>
    WeakKey,

    /// <summary>A signature is over a hash that is broken.</summary>
    WeakSignature,

    /// <summary>The leaf is past its end.</summary>
    Expired,

    /// <summary>The leaf begins in the future, by more than clocks may differ.</summary>
    NotYetValid,

    /// <summary>An issuer is past its end.</summary>
    IssuerExpired,

    /// <summary>An issuer begins in the future.</summary>
    IssuerNotYetValid,

    /// <summary>The chain ends in no root of the bundle: another authority, or a missing intermediate.</summary>
    UnknownIssuer,

    /// <summary>A signature is wrong.</summary>
    BadSignature,

    /// <summary>An issuer is no certificate authority.</summary>
    IssuerNotAuthority,

    /// <summary>An issuer's key may not sign certificates.</summary>
    IssuerMaySignNothing,

    /// <summary>More intermediates than an issuer allows.</summary>
    PathTooLong,

    /// <summary>An issuer may not vouch for such names.</summary>
    NameNotPermitted,

    /// <summary>An issuer has an ID that no issuer of this trust domain may have.</summary>
    IssuerIdentity,

    /// <summary>The certificate is in order, and its ID is none of the expected ones.</summary>
    UnexpectedId,

    /// <summary>The chain was refused for something else, which the words say.</summary>
    ChainRefused,
}

/// <summary>The judgement of a certificate: the ID it proves, or why it proves none, in a value and in words.</summary>
/// <param name="Id">The proven ID; null when refused.</param>
/// <param name="Problem">Why it is refused.</param>
/// <param name="Text">The same in words for people; empty when believed.</param>
public readonly record struct SvidVerdict(SpiffeId? Id, SvidProblem Problem, string Text)
{
    /// <summary>SHA-256 (hex) of the root that vouches for it; empty when refused.</summary>
    public string Root { get; init; } = "";

    /// <summary>Whether the certificate is believed.</summary>
    public bool Ok => Id is not null && Problem == SvidProblem.None;

    /// <summary>The same verdict where the proven ID is one of the expected; else its refusal. IDs are compared exactly.</summary>
    public SvidVerdict Expecting(params ReadOnlySpan<string> expected)
    {
        if (!Ok || expected.Contains(Id!.ToString(), StringComparer.Ordinal)) return this;
        return Refuse(SvidProblem.UnexpectedId, $"it is '{Id}'; expected was {(expected.Length == 0 ? "nobody" : string.Join(" or ", expected!))}");
    }

    internal static SvidVerdict Refuse(SvidProblem problem, string text) => new(null, problem, text);
}
