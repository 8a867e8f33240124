using System.Collections.Immutable;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Sources.Consul;

/// <summary>What is known of one service of Consul. Immutable.</summary>
/// <param name="Entries">Its instances, ordered by id.</param>
/// <param name="Notices">What was left out, and why.</param>
internal sealed record ServiceView(ImmutableArray<RegistryEntry> Entries, ImmutableArray<Notice> Notices)
{
    /// <summary>Nothing known.</summary>
    public static ServiceView Empty { get; } = new([], []);
}
