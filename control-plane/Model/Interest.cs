using System.Collections.Frozen;

namespace Mesh.ControlPlane.Model;

/// <summary>Which services connected nodes need. Sources that pay for each service watch only these. Immutable.</summary>
/// <param name="All">A node needs every service there is.</param>
/// <param name="Services">The services needed by name when not <paramref name="All"/>.</param>
public sealed record Interest(bool All, FrozenSet<ServiceName> Services)
{
    /// <summary>Nobody needs anything.</summary>
    public static Interest None { get; } = new(false, FrozenSet<ServiceName>.Empty);
}
