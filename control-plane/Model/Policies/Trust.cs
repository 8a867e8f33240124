using System.Collections.Immutable;

namespace Mesh.ControlPlane.Model.Policies;

/// <summary>
/// What the certificate authority tells the rest of the control plane: the slice of the world that says whom certificates can speak for.
/// Immutable; replaced whole with <see cref="WorldStore.SetTrust"/>.
/// </summary>
public sealed record Trust
{
    /// <summary>The trust domain unless the operator names another.</summary>
    public const string DefaultDomain = "cluster.local";

    /// <summary>No authority: nobody has an identity.</summary>
    public static Trust None { get; } = new();

    /// <summary>The trust domain of the mesh.</summary>
    public string Domain { get; init; } = DefaultDomain;

    /// <summary>The root certificates in force, PEM; empty without an authority.</summary>
    public string RootsPem { get; init; } = "";

    /// <summary>SHA-256 (hex) of the root under which certificates are issued now; who holds one under another is to renew soon.</summary>
    public string IssuingRoot { get; init; } = "";

    /// <summary>Identities whose certificates no longer count, as SPIFFE IDs, sorted.</summary>
    public ImmutableArray<string> Revoked { get; init; } = [];

    /// <summary>What consumed join tokens allow, sorted by identity.</summary>
    public ImmutableArray<Grant> Grants { get; init; } = [];

    /// <summary>Equal by content, arrays included.</summary>
    public bool Equals(Trust? other) =>
        ReferenceEquals(this, other) || (other is not null
            && Domain == other.Domain
            && RootsPem == other.RootsPem
            && IssuingRoot == other.IssuingRoot
            && Sequence.Same(Revoked, other.Revoked)
            && Sequence.Same(Grants, other.Grants));

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Domain, RootsPem, Revoked.Length, Grants.Length);
}

/// <summary>What the join tokens of one identity allow it, all of them together. Immutable.</summary>
/// <param name="Identity">The SPIFFE ID.</param>
/// <param name="Serves">The services it may serve.</param>
/// <param name="Addresses">IP addresses its workloads may register beside the one they are seen at.</param>
public sealed record Grant(string Identity, ImmutableArray<ServiceName> Serves, ImmutableArray<string> Addresses)
{
    /// <summary>Equal by content, arrays included.</summary>
    public bool Equals(Grant? other) =>
        ReferenceEquals(this, other) || (other is not null
            && Identity == other.Identity
            && Sequence.Same(Serves, other.Serves)
            && Sequence.Same(Addresses, other.Addresses));

    /// <inheritdoc/>
    public override int GetHashCode() => Identity.GetHashCode(StringComparison.Ordinal);
}
