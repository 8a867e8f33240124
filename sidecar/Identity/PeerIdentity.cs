namespace Mesh.Sidecar.Identity;

/// <summary>
/// Who is at the other end of a connection, as the handshake proved it. Made once a connection, when chain, rules of X.509-SVID and trust
/// domain were checked; never made from anything a peer merely says. Immutable.
/// </summary>
internal sealed record PeerIdentity
{
    /// <summary>The peer's SPIFFE ID, as it stands in its certificate.</summary>
    public required string Uri { get; init; }

    /// <summary>SHA-256 of the peer's certificate (DER), 64 lower-case hexadecimal digits.</summary>
    public required string CertificateHash { get; init; }

    /// <summary>Subject of the peer's certificate; empty when it has none, as SVIDs usually do.</summary>
    public string Subject { get; init; } = "";

    /// <summary>Our own SPIFFE ID in that handshake; empty when it is not known.</summary>
    public string OwnUri { get; init; } = "";
}
