using Envoy.Config.Core.V3;
using Google.Protobuf.WellKnownTypes;
using Mesh.Api.V1;
using Mesh.Api.Xds;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Config.Builders;

namespace Mesh.Sidecar.State;

/// <summary>A set of resources as it is kept, and back. Pure.</summary>
internal static class KeptResources
{
    /// <summary>What is referred to comes before what refers to it; revocations and roots before all.</summary>
    private static readonly string[] Order =
    [
        TypeUrls.IdentityRevocations, TypeUrls.Secret, TypeUrls.MeshRanges, TypeUrls.NameTable,
        TypeUrls.Cluster, TypeUrls.ClusterLoadAssignment, TypeUrls.Listener, TypeUrls.RouteConfiguration,
    ];

    /// <summary>A set as it is kept; the bytes of the resources are shared, not copied.</summary>
    public static KeptConfiguration Of(KeptOwner owner, ResourceSet set, DateTimeOffset confirmed)
    {
        var kept = new KeptConfiguration { Node = owner.Node, Identity = owner.Identity, Confirmed = Timestamp.FromDateTimeOffset(confirmed) };
        var raw = set.Raw().Concat(set.Revoked.Values.Select(accepted => accepted.Raw)).ToLookup(any => any.TypeUrl, StringComparer.Ordinal);
        foreach (var (type, version) in set.Versions) kept.Resources.Add(new KeptConfiguration.Types.Resources { TypeUrl = type, VersionInfo = version, Resources_ = { raw[type] } });
        return kept;
    }

    /// <summary>Throws <see cref="StateRefusedException"/> unless it was kept by this very node with this identity, which was not revoked then.</summary>
    public static void CheckOwner(KeptConfiguration kept, KeptOwner owner)
    {
        if (kept.Identity != owner.Identity) throw Foreign($"was kept by {kept.Identity}, and this is {owner.Identity}");
        if (kept.Node?.Id != owner.Node.Id) throw Foreign($"was kept by the node {kept.Node?.Id}, and this is {owner.Node.Id}");
        if (!SameBut(kept.Node!, owner.Node)) throw Foreign("was kept with other settings of this node: ports, listeners, service, version or labels differ");
    }

    /// <summary>Whether the identity it was kept under was revoked by then.</summary>
    public static bool IsRevoked(KeptConfiguration kept, ResourceSet restored) =>
        restored.Revoked.Values.Any(accepted => accepted.Value.Identities.Contains(kept.Identity, StringComparer.Ordinal));

    /// <summary>Reads and checks it as if a control plane had sent it, on top of <paramref name="begin"/>; throws <see cref="StateRefusedException"/>.</summary>
    public static ResourceSet Restore(KeptConfiguration kept, ResourceSet begin)
    {
        var byType = new Dictionary<string, KeptConfiguration.Types.Resources>(StringComparer.Ordinal);
        foreach (var resources in kept.Resources) byType[resources.TypeUrl] = resources;
        if (byType.Keys.Except(Order, StringComparer.Ordinal).FirstOrDefault() is { } unknown) throw Bad($"holds resources of a type that is not known here, {unknown}");
        var errors = new ConfigErrors();
        try
        {
            foreach (var type in Order)
            {
                if (byType.TryGetValue(type, out var resources)) begin = ResourceSetBuilder.With(begin, type, resources.VersionInfo, resources.Resources_, errors);
            }
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            // A fault of ours must not keep the sidecar from its start.
            throw new StateRefusedException("resources", $"cannot be built: {e.Message}", e);
        }

        if (errors.Count > 0) throw Bad($"is refused: {errors}");
        return begin is { Clusters: not null, Listeners: not null } ? begin : throw Bad("has no listeners or no clusters");
    }

    private static bool SameBut(Node kept, Node now)
    {
        // A new version of the program is the same node.
        var (a, b) = (kept.Clone(), now.Clone());
        a.UserAgentVersion = b.UserAgentVersion = "";
        return a.Equals(b);
    }

    private static StateRefusedException Foreign(string what) => new("foreign", what);

    private static StateRefusedException Bad(string what) => new("resources", what);
}

/// <summary>Whose a kept configuration is.</summary>
/// <param name="Node">The node as the control plane is told of it.</param>
/// <param name="Identity">Its SPIFFE ID.</param>
internal sealed record KeptOwner(Node Node, string Identity);
