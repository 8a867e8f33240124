using System.Collections.Frozen;
using System.Collections.Immutable;

namespace Mesh.ControlPlane.Model;

/// <summary>
/// The addresses that were given to services which have none of their own: a slice of the world, written by the allocator. Names that no service
/// has at the moment keep theirs for a while and stand here, too. Immutable; the same object while no address changes.
/// </summary>
/// <param name="ByService">Addresses of each name, IPv4 before IPv6, at most one of a family. Never changed once published.</param>
/// <param name="IsKnown">False until the allocator has read what was given out before: that a name is missing says nothing then.</param>
public sealed record VirtualAddresses(IReadOnlyDictionary<ServiceName, ImmutableArray<string>> ByService, bool IsKnown)
{
    /// <summary>None are given out, and that is known.</summary>
    public static VirtualAddresses None { get; } = new(FrozenDictionary<ServiceName, ImmutableArray<string>>.Empty, true);

    /// <summary>Nobody has looked yet.</summary>
    public static VirtualAddresses Unknown { get; } = new(FrozenDictionary<ServiceName, ImmutableArray<string>>.Empty, false);

    /// <summary>The addresses of a name; empty when it has none (yet).</summary>
    public ImmutableArray<string> Of(ServiceName service) => ByService.TryGetValue(service, out var addresses) ? addresses : [];
}
