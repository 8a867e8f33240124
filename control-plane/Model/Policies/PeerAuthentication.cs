using System.Collections.Immutable;

namespace Mesh.ControlPlane.Model.Policies;

/// <summary>A PeerAuthentication document (security.istio.io/v1): how connections to workloads may arrive. Immutable; validated before it gets here.</summary>
public sealed record PeerAuthentication
{
    /// <summary>Namespace and name of the document; in <see cref="PolicySet.RootNamespace"/> it holds for the whole mesh.</summary>
    public required ServiceName Name { get; init; }

    /// <summary>Labels a workload must carry; empty for all of the namespace.</summary>
    public ImmutableSortedDictionary<string, string> Selector { get; init; } = ImmutableSortedDictionary<string, string>.Empty;

    /// <summary>The mode of all ports; null leaves it to the next wider policy.</summary>
    public TlsMode? Mode { get; init; }

    /// <summary>Modes of single ports of the application; null ones leave it to the next wider policy.</summary>
    public ImmutableSortedDictionary<int, TlsMode?> Ports { get; init; } = ImmutableSortedDictionary<int, TlsMode?>.Empty;

    /// <summary>Creation time where the source knows it; the oldest of several wins.</summary>
    public DateTimeOffset? Created { get; init; }

    /// <summary>Where it was written.</summary>
    public required Provenance Source { get; init; }

    /// <summary>Equal by content, maps included.</summary>
    public bool Equals(PeerAuthentication? other) =>
        ReferenceEquals(this, other) || (other is not null
            && Name == other.Name
            && Sequence.Same(Selector, other.Selector)
            && Mode == other.Mode
            && Ports.SequenceEqual(other.Ports)
            && Created == other.Created
            && Source == other.Source);

    /// <inheritdoc/>
    public override int GetHashCode() => Name.GetHashCode();
}

/// <summary>How connections to a port may arrive.</summary>
public enum TlsMode
{
    /// <summary>Under mutual TLS or without, told apart by the first bytes.</summary>
    Permissive,

    /// <summary>Under mutual TLS only.</summary>
    Strict,

    /// <summary>Without mutual TLS.</summary>
    Disable,
}
