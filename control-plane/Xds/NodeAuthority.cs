using Mesh.Api.Identity;
using Mesh.ControlPlane.Compilation;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Xds;

/// <summary>
/// What a node may ask for, by the identity it proved: the configuration of its own namespace and of a service it may serve, whatever its
/// node id and metadata say. Pure.
/// </summary>
internal static class NodeAuthority
{
    /// <summary>Why the node is refused; null when it is within its rights.</summary>
    /// <param name="node">What the node says of itself.</param>
    /// <param name="caller">The identity of its connection's certificate.</param>
    /// <param name="world">Says who may serve what.</param>
    /// <param name="connected">The nodes with an open stream.</param>
    public static Refusal? Check(NodeDescription node, SpiffeId caller, World world, IEnumerable<NodeDescription> connected)
    {
        var identity = caller.ToString();
        if (world.Trust.Revoked.Contains(identity, StringComparer.Ordinal)) return new Refusal("revoked", $"the identity {identity} is revoked");
        if (node.Namespace != caller.Namespace) return new Refusal("namespace", $"namespace \"{node.Namespace}\" is not that of {identity}");
        if (IdParts(node.Id) is { Namespace: var ns } && ns != caller.Namespace)
            return new Refusal("node_id", $"node.id \"{node.Id}\" names namespace \"{ns}\", which is not that of {identity}");
        if (node.Service.Length > 0 && !world.Authority.MayServe(identity, new ServiceName(node.Namespace, node.Service)))
            return new Refusal("service", $"{identity} may not serve {node.Namespace}/{node.Service}, so it gets no configuration of it");
        var taken = connected.FirstOrDefault(other => other.Identity is not null && other.Identity != identity && Claims(node, other));
        return taken is null ? null : new Refusal("workload_id", $"workload \"{WorkloadOf(taken)}\" is connected with another identity");
    }

    /// <summary>True while a connected node's service is still one it may serve: rules change.</summary>
    public static bool Holds(NodeDescription node, World world) =>
        node.Identity is null || node.Service.Length == 0 || world.Authority.MayServe(node.Identity, new ServiceName(node.Namespace, node.Service));

    /// <summary>A name somebody can read in a metric, and words for whoever is refused.</summary>
    public sealed record Refusal(string Reason, string Text);

    // Names are a namespace's own: nobody of another one keeps a workload from its configuration by being there first.
    private static bool Claims(NodeDescription node, NodeDescription other) =>
        node.Namespace == other.Namespace && (node.Id == other.Id || WorkloadOf(node) == WorkloadOf(other));

    // gRPC programs have ids of any form: then the id itself is who they are.
    private static string WorkloadOf(NodeDescription node) => node.Workload.Length > 0 ? node.Workload : IdParts(node.Id)?.Workload ?? node.Id;

    private static (string Workload, string Namespace)? IdParts(string id) => id.Split('~') is [_, _, var workload, var ns] ? (workload, ns) : null;
}
