using Mesh.Api.Identity;

namespace Mesh.Sidecar.Identity;

/// <summary>Why a handshake failed: few values, for metrics.</summary>
internal enum HandshakeProblem
{
    /// <summary>It did not.</summary>
    None,

    /// <summary>We have no certificate yet.</summary>
    NotCertified,

    /// <summary>It took too long.</summary>
    Timeout,

    /// <summary>The peer closed or broke the connection.</summary>
    Closed,

    /// <summary>The two have no version or cipher in common, or what came is not TLS.</summary>
    Protocol,

    /// <summary>The two do not agree on what is carried.</summary>
    Alpn,

    /// <summary>The peer showed no certificate.</summary>
    NoCertificate,

    /// <summary>The peer's certificate is past its end, or not yet begun.</summary>
    Expired,

    /// <summary>The peer's certificate is of another authority or trust domain.</summary>
    UnknownAuthority,

    /// <summary>The peer's certificate breaks the rules of SVIDs.</summary>
    BadCertificate,

    /// <summary>The peer is somebody else than may be there.</summary>
    UnexpectedPeer,

    /// <summary>The peer's identity is revoked.</summary>
    Revoked,

    /// <summary>The client spoke plaintext where only mutual TLS is taken.</summary>
    Plaintext,
}

/// <summary>How a handshake ended.</summary>
/// <param name="Transport">The secured connection; null when it failed, and then the socket is closed.</param>
/// <param name="Problem">Why it failed.</param>
/// <param name="Text">The same in words.</param>
internal readonly record struct HandshakeResult(TlsTransport? Transport, HandshakeProblem Problem, string Text)
{
    /// <summary>The group of reasons a verdict falls into.</summary>
    public static HandshakeProblem Of(SvidProblem problem) => problem switch
    {
        SvidProblem.None => HandshakeProblem.None,
        SvidProblem.NoCertificate => HandshakeProblem.NoCertificate,
        SvidProblem.Expired or SvidProblem.NotYetValid or SvidProblem.IssuerExpired or SvidProblem.IssuerNotYetValid => HandshakeProblem.Expired,
        SvidProblem.UnknownIssuer or SvidProblem.WrongTrustDomain => HandshakeProblem.UnknownAuthority,
        SvidProblem.UnexpectedId => HandshakeProblem.UnexpectedPeer,
        _ => HandshakeProblem.BadCertificate,
    };
}
