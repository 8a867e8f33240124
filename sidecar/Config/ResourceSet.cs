using System.Collections.Immutable;
using System.Security.Cryptography.X509Certificates;
using Google.Protobuf.WellKnownTypes;
using Mesh.Api.Xds;
using Mesh.Sidecar.Config.Builders;

namespace Mesh.Sidecar.Config;

/// <summary>
/// The last good resources of every type, read and checked, with the bytes they came from. Immutable: a change makes a new set.
/// </summary>
internal sealed record ResourceSet
{
    /// <summary>Nothing received.</summary>
    public static ResourceSet Empty { get; } = new();

    /// <summary>Listeners by name; null until the first answer.</summary>
    public ImmutableDictionary<string, Accepted<Listener>>? Listeners { get; init; }

    /// <summary>Clusters by name; null until the first answer.</summary>
    public ImmutableDictionary<string, Accepted<ClusterSettings>>? Clusters { get; init; }

    /// <summary>Route tables by name.</summary>
    public ImmutableDictionary<string, Accepted<RouteTable>> Routes { get; init; } = ImmutableDictionary<string, Accepted<RouteTable>>.Empty;

    /// <summary>Endpoints by the name EDS has for them.</summary>
    public ImmutableDictionary<string, Accepted<Assignment>> Endpoints { get; init; } = ImmutableDictionary<string, Accepted<Assignment>>.Empty;

    /// <summary>The roots, under the one name they have; none until they come.</summary>
    public ImmutableDictionary<string, Accepted<ImmutableArray<X509Certificate2>>> Roots { get; init; } = ImmutableDictionary<string, Accepted<ImmutableArray<X509Certificate2>>>.Empty;

    /// <summary>The revoked identities, under the one name they have; none until they come.</summary>
    public ImmutableDictionary<string, Accepted<Revocations>> Revoked { get; init; } = ImmutableDictionary<string, Accepted<Revocations>>.Empty;

    /// <summary>The mesh's own addresses: what the operator said, and those of workloads in parts; none until they come.</summary>
    public ImmutableDictionary<string, Accepted<MeshRanges>> Ranges { get; init; } = ImmutableDictionary<string, Accepted<MeshRanges>>.Empty;

    /// <summary>True when the mesh's own addresses are asked for: nothing captured may be let out before they are known.</summary>
    public bool RangesWanted { get; init; }

    /// <summary>The names of the mesh, under the one name the table has; none until it comes.</summary>
    public ImmutableDictionary<string, Accepted<NameTable>> Names { get; init; } = ImmutableDictionary<string, Accepted<NameTable>>.Empty;

    /// <summary>True when the names of the mesh are asked for: who was told to resolve here shall not hear that they do not exist.</summary>
    public bool NamesWanted { get; init; }

    /// <summary>Version of each type as last accepted, by type URL.</summary>
    public ImmutableSortedDictionary<string, string> Versions { get; init; } = ImmutableSortedDictionary<string, string>.Empty;

    /// <summary>Names of the route tables the listeners ask for.</summary>
    public ImmutableSortedSet<string> RoutesWanted { get; init; } = [];

    /// <summary>Names of the assignments the clusters ask for.</summary>
    public ImmutableSortedSet<string> EndpointsWanted { get; init; } = [];

    /// <summary>Names that are asked for and have not come.</summary>
    public IEnumerable<string> Missing() =>
        RoutesWanted.Where(n => !Routes.ContainsKey(n)).Concat(EndpointsWanted.Where(n => !Endpoints.ContainsKey(n)))
            .Concat(RangesWanted && !Ranges.ContainsKey(TypeUrls.RangesName) ? [TypeUrls.RangesName] : [])
            .Concat(NamesWanted && Names.IsEmpty ? [TypeUrls.NamesName] : []);

    /// <summary>
    /// What an application that is captured must not be let go without, in words; empty when it is all there. It serves without it, when it does not come in time:
    /// who runs already has more of that than of nothing.
    /// </summary>
    public string Lacks =>
        RangesWanted && !Ranges.ContainsKey(TypeUrls.RangesName) ? "waiting for the mesh's own addresses (MeshRanges)"
        : NamesWanted && Names.IsEmpty ? "waiting for the names of the mesh (NameTable)"
        : "";

    /// <summary>Every resource as it came, for the admin's dump.</summary>
    public IEnumerable<Any> Raw() =>
        (Clusters?.Values.Select(a => a.Raw) ?? [])
        .Concat(Endpoints.Values.Select(a => a.Raw))
        .Concat(Listeners?.Values.Select(a => a.Raw) ?? [])
        .Concat(Routes.Values.Select(a => a.Raw))
        .Concat(Roots.Values.Select(a => a.Raw))
        .Concat(Ranges.Values.Select(a => a.Raw))
        .Concat(Names.Values.Select(a => a.Raw));
}

/// <summary>A resource that was accepted: what it says, and the bytes it came as (the same bytes again are not built again).</summary>
internal sealed record Accepted<T>(string Name, Any Raw, T Value);

/// <summary>Whom not to believe any more, and under which root certificates are issued now. Immutable.</summary>
/// <param name="Identities">SPIFFE IDs, sorted.</param>
/// <param name="IssuingRoot">SHA-256 of the root, hex; empty when nothing was said of it.</param>
internal sealed record Revocations(ImmutableArray<string> Identities, string IssuingRoot);
