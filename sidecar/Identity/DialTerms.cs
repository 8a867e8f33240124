using Mesh.Api.Identity;

namespace Mesh.Sidecar.Identity;

/// <summary>
/// Under what a secured upstream connection was made: whom we expected, what we showed, whom we believed. A connection serves only requests
/// whose terms are equal; it is never enough that the address is the same. Immutable.
/// </summary>
internal sealed class DialTerms(UpstreamTls tls, Credentials credentials) : IEquatable<DialTerms>
{
    /// <summary>What the configuration says.</summary>
    public UpstreamTls Tls => tls;

    /// <summary>Our certificate and the roots.</summary>
    public Credentials Credentials => credentials;

    /// <inheritdoc/>
    public bool Equals(DialTerms? other) =>
        ReferenceEquals(this, other)
        || (other is not null
            && tls.Expected.Equals(other.Tls.Expected)
            && string.Equals(tls.Sni, other.Tls.Sni, StringComparison.Ordinal)
            && tls.Protocols.AsSpan().SequenceEqual(other.Tls.Protocols.AsSpan())
            && ReferenceEquals(credentials.Svid, other.Credentials.Svid)
            && string.Equals(credentials.Bundle.Fingerprint, other.Credentials.Bundle.Fingerprint, StringComparison.Ordinal));

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as DialTerms);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(tls.Expected, credentials.Bundle.Fingerprint);
}
