using System.Collections.Immutable;
using Mesh.Api.Xds;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Compilation;

/// <summary>Everything one node may ask for, compiled: a set of resources for each type. Immutable; sets that did not change are the same object.</summary>
internal sealed record NodeConfig
{
    /// <summary>Nothing.</summary>
    public static NodeConfig Empty { get; } = new();

    /// <summary>CDS.</summary>
    public ResourceSet Clusters { get; init; } = ResourceSet.Empty;

    /// <summary>EDS.</summary>
    public ResourceSet Endpoints { get; init; } = ResourceSet.Empty;

    /// <summary>LDS.</summary>
    public ResourceSet Listeners { get; init; } = ResourceSet.Empty;

    /// <summary>RDS.</summary>
    public ResourceSet Routes { get; init; } = ResourceSet.Empty;

    /// <summary>SDS: the roots; only for nodes that proved who they are.</summary>
    public ResourceSet Secrets { get; init; } = ResourceSet.Empty;

    /// <summary>Revoked identities; only for nodes that proved who they are.</summary>
    public ResourceSet Revocations { get; init; } = ResourceSet.Empty;

    /// <summary>All names; only for our own sidecars that proved who they are.</summary>
    public ResourceSet Names { get; init; } = ResourceSet.Empty;

    /// <summary>The mesh's own addresses; only for our own sidecars that proved who they are.</summary>
    public ResourceSet Ranges { get; init; } = ResourceSet.Empty;

    /// <summary>What could not be compiled for this node, with the place to look at.</summary>
    public ImmutableArray<Notice> Notices { get; init; } = [];

    /// <summary>The set of a type URL; empty for types that are not served.</summary>
    public ResourceSet Of(string typeUrl) => typeUrl switch
    {
        TypeUrls.Cluster => Clusters,
        TypeUrls.ClusterLoadAssignment => Endpoints,
        TypeUrls.Listener => Listeners,
        TypeUrls.RouteConfiguration => Routes,
        TypeUrls.Secret => Secrets,
        TypeUrls.IdentityRevocations => Revocations,
        TypeUrls.NameTable => Names,
        TypeUrls.MeshRanges => Ranges,
        _ => ResourceSet.Empty,
    };
}
