using System.Collections.Immutable;
using System.Net;

namespace Mesh.ControlPlane.Model;

/// <summary>What the operator says of the network the mesh lives in: the slice of the world that sidecars which capture traffic go by. Immutable.</summary>
public sealed record NetworkTerms
{
    /// <summary>Where virtual addresses come from unless the operator says otherwise: addresses that no network routes.</summary>
    public static ImmutableArray<IPNetwork> DefaultVirtualRanges { get; } = [IPNetwork.Parse("240.0.0.0/4"), IPNetwork.Parse("fd6d:6573:6800::/48")];

    /// <summary>Nothing said.</summary>
    public static NetworkTerms Default { get; } = new();

    /// <summary>Addresses this control plane gives to services; empty for none.</summary>
    public ImmutableArray<IPNetwork> VirtualRanges { get; init; } = DefaultVirtualRanges;

    /// <summary>Cluster addresses of services.</summary>
    public ImmutableArray<IPNetwork> ServiceRanges { get; init; } = [];

    /// <summary>Addresses of instances.</summary>
    public ImmutableArray<IPNetwork> PodRanges { get; init; } = [];

    /// <summary>True when destinations that nobody knows are refused; else they pass through untouched.</summary>
    public bool RegistryOnly { get; init; }

    /// <summary>Where this control plane listens for sidecars.</summary>
    public ImmutableArray<int> ControlPlanePorts { get; init; } = [];

    private static readonly ImmutableArray<IPNetwork> Special = [IPNetwork.Parse("127.0.0.0/8"), IPNetwork.Parse("169.254.0.0/16"), IPNetwork.Parse("224.0.0.0/4"), IPNetwork.Parse("::1/128"), IPNetwork.Parse("fe80::/10"), IPNetwork.Parse("ff00::/8")];

    /// <summary>True for ranges whose addresses have a meaning of their own.</summary>
    public static bool Unusable(IPNetwork range) => Special.Any(special =>
        special.BaseAddress.AddressFamily == range.BaseAddress.AddressFamily && (special.Contains(range.BaseAddress) || range.Contains(special.BaseAddress)));

    /// <summary>Equal by content, arrays included.</summary>
    public bool Equals(NetworkTerms? other) =>
        ReferenceEquals(this, other) || (other is not null
            && Sequence.Same(VirtualRanges, other.VirtualRanges)
            && Sequence.Same(ServiceRanges, other.ServiceRanges)
            && Sequence.Same(PodRanges, other.PodRanges)
            && RegistryOnly == other.RegistryOnly
            && Sequence.Same(ControlPlanePorts, other.ControlPlanePorts));

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(VirtualRanges.Length, ServiceRanges.Length, PodRanges.Length, RegistryOnly);
}
