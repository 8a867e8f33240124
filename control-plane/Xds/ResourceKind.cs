using System.Collections.Immutable;
using Mesh.Api.Xds;
using Mesh.ControlPlane.Compilation;

namespace Mesh.ControlPlane.Xds;

/// <summary>A type of resource this server serves, with the protocol's rules for it. Immutable; there are eight.</summary>
internal sealed class ResourceKind
{
    private ResourceKind(int index, string shortName, string typeUrl, bool wholeSet)
    {
        Index = index;
        ShortName = shortName;
        TypeUrl = typeUrl;
        WholeSet = wholeSet;
    }

    /// <summary>Clusters. A response holds all of them; absence means removal.</summary>
    public static ResourceKind Clusters { get; } = new(0, "CDS", TypeUrls.Cluster, wholeSet: true);

    /// <summary>Endpoints of clusters. A response may hold only what changed.</summary>
    public static ResourceKind Endpoints { get; } = new(1, "EDS", TypeUrls.ClusterLoadAssignment, wholeSet: false);

    /// <summary>Listeners. A response holds all of them; absence means removal.</summary>
    public static ResourceKind Listeners { get; } = new(2, "LDS", TypeUrls.Listener, wholeSet: true);

    /// <summary>Route configurations. A response may hold only what changed.</summary>
    public static ResourceKind Routes { get; } = new(3, "RDS", TypeUrls.RouteConfiguration, wholeSet: false);

    /// <summary>The roots; nothing else is ever served as a secret.</summary>
    public static ResourceKind Secrets { get; } = new(4, "SDS", TypeUrls.Secret, wholeSet: false);

    /// <summary>The one list of revoked identities.</summary>
    public static ResourceKind Revocations { get; } = new(5, "revocations", TypeUrls.IdentityRevocations, wholeSet: false);

    /// <summary>The one table of names.</summary>
    public static ResourceKind Names { get; } = new(6, "names", TypeUrls.NameTable, wholeSet: false);

    /// <summary>The one list of the mesh's own addresses.</summary>
    public static ResourceKind Ranges { get; } = new(7, "ranges", TypeUrls.MeshRanges, wholeSet: false);

    /// <summary>All of them in make-before-break order: what others refer to comes first.</summary>
    public static ImmutableArray<ResourceKind> InOrder { get; } = [Clusters, Endpoints, Listeners, Routes, Secrets, Revocations, Names, Ranges];

    /// <summary>CDS, EDS, LDS, RDS, SDS: what people and metrics call it.</summary>
    public string ShortName { get; }

    /// <summary>The type URL on the wire.</summary>
    public string TypeUrl { get; }

    /// <summary>True when each response holds everything subscribed, and only absence removes.</summary>
    public bool WholeSet { get; }

    /// <summary>This kind's place in <see cref="InOrder"/>.</summary>
    public int Index { get; }

    /// <summary>The kind of a type URL, or null for one that is not served.</summary>
    public static ResourceKind? Of(string typeUrl)
    {
        foreach (var kind in InOrder)
        {
            if (kind.TypeUrl == typeUrl) return kind;
        }

        return null;
    }

    /// <summary>This kind's resources of a node's configuration.</summary>
    public ResourceSet From(NodeConfig config) => config.Of(TypeUrl);
}
