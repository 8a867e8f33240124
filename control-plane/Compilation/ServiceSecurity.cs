using System.Collections.Immutable;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Model.Policies;

namespace Mesh.ControlPlane.Compilation;

/// <summary>What mutual TLS with the endpoints of one service depends on, beside the service. Immutable.</summary>
/// <param name="Identities">Who may serve it: what a client expects of an endpoint.</param>
/// <param name="Required">True when only endpoints that can prove an identity serve it.</param>
/// <param name="Policies">Says which endpoints take mutual TLS.</param>
internal sealed record ServiceSecurity(ImmutableArray<string> Identities, bool Required, PolicySet Policies)
{
    /// <summary>That of a service in a world.</summary>
    public static ServiceSecurity Of(World world, ServiceName service) =>
        service.IsHost ? new([], false, world.Policies) : new(world.Authority.ServingIdentities(service), world.Authority.IsRequired(service), world.Policies);

    /// <summary>True when clients expect the same.</summary>
    public bool SameIdentities(ServiceSecurity other) => Required == other.Required && Sequence.Same(Identities, other.Identities);

    /// <summary>True when the same endpoints take mutual TLS.</summary>
    public bool SameModes(ServiceSecurity other) =>
        ReferenceEquals(Policies, other.Policies) || Sequence.Same(Policies.Authentication, other.Policies.Authentication);
}
