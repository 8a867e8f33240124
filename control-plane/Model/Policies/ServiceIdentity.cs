using System.Collections.Immutable;

namespace Mesh.ControlPlane.Model.Policies;

/// <summary>A ServiceIdentity document: which identities may serve a service. Immutable; validated before it gets here.</summary>
public sealed record ServiceIdentity
{
    /// <summary>Namespace and name of the document.</summary>
    public required ServiceName Name { get; init; }

    /// <summary>The service it is about.</summary>
    public required ServiceName Service { get; init; }

    /// <summary>Who may serve it, as written: SPIFFE IDs, or <c>NAMESPACE/ACCOUNT</c>. At least one.</summary>
    public required ImmutableArray<string> Identities { get; init; }

    /// <summary>True when endpoints that cannot prove an identity get no traffic.</summary>
    public bool Required { get; init; }

    /// <summary>Where it was written.</summary>
    public required Provenance Source { get; init; }

    /// <summary>Equal by content, arrays included.</summary>
    public bool Equals(ServiceIdentity? other) =>
        ReferenceEquals(this, other) || (other is not null
            && Name == other.Name
            && Service == other.Service
            && Sequence.Same(Identities, other.Identities)
            && Required == other.Required
            && Source == other.Source);

    /// <inheritdoc/>
    public override int GetHashCode() => Name.GetHashCode();
}
