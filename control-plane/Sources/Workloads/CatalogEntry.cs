using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Sources.Consul;

namespace Mesh.ControlPlane.Sources.Workloads;

/// <summary>
/// A workload's entry in the catalog: a synthetic node of its own, one service on it and one check of that, always written and compared
/// together. Pure: builds the operations and reads their results.
/// </summary>
/// <param name="Owner">The replica that wrote it.</param>
/// <param name="Node">Index of the node; it moves when the owner changes, so it alone guards a removal.</param>
/// <param name="Service">Index of the service.</param>
/// <param name="Check">Index of the check.</param>
internal sealed record CatalogEntry(string Owner, ulong Node, ulong Service, ulong Check)
{
    /// <summary>The identity of the workload, as who wrote it says; empty for none.</summary>
    public string Identity { get; init; } = "";

    /// <summary>Nothing is there; with these indexes a write creates and does not overwrite.</summary>
    public static CatalogEntry Absent { get; } = new("", 0, 0, 0);

    /// <summary>
    /// Writes all three if node and service still are as <paramref name="before"/> says. The check needs no index of its own: all or nothing
    /// is written, and a service that changes its name moves the index of its check within the same transaction.
    /// </summary>
    public static TxnOp[] Write(DesiredEntry desired, string owner, CatalogEntry before)
    {
        var instance = desired.Instance;
        var node = NodeOf(instance.Id);
        return
        [
            new() { Node = new TxnNode("cas", NodeOf(instance, owner, before.Node)) },
            new() { Service = new TxnService("cas", node, ServiceOf(instance, owner, before.Service)) },
            new() { Check = new TxnCheck("set", CheckOf(desired, node)) },
        ];
    }

    /// <summary>Reads all three.</summary>
    public static TxnOp[] Read(string id) =>
    [
        new() { Node = new TxnNode("get", new ConsulNode { Name = NodeOf(id) }) },
        new() { Service = new TxnService("get", NodeOf(id), new ConsulService { Id = id }) },
        new() { Check = new TxnCheck("get", new ConsulCheck { Node = NodeOf(id), Id = MeshMeta.CheckId(id) }) },
    ];

    /// <summary>Removes the node, and by that what is on it, if it still is as it was.</summary>
    public static TxnOp[] Delete(string id, ulong nodeIndex) =>
        [new() { Node = new TxnNode("delete-cas", new ConsulNode { Name = NodeOf(id), ModifyIndex = nodeIndex }) }];

    /// <summary>What the results of <see cref="Write"/> or <see cref="Read"/> say; what is missing there is absent.</summary>
    public static CatalogEntry Of(TxnResult[]? results)
    {
        var entry = Absent;
        foreach (var result in results ?? [])
        {
            if (result.Node is { } node)
                entry = entry with { Node = node.ModifyIndex, Owner = node.Meta?.GetValueOrDefault(MeshMeta.Owner) ?? "" };
            if (result.Service is { } service) entry = entry with { Service = service.ModifyIndex, Identity = service.Meta?.GetValueOrDefault(MeshMeta.Identity) ?? "" };
            if (result.Check is { } check) entry = entry with { Check = check.ModifyIndex };
        }

        return entry;
    }

    /// <summary>The name of a workload's node.</summary>
    public static string NodeOf(string id) => MeshMeta.NodePrefix + id;

    private static ConsulNode NodeOf(Instance instance, string owner, ulong index) => new()
    {
        Name = NodeOf(instance.Id),
        Address = instance.Address,
        Meta = new(StringComparer.Ordinal) { [MeshMeta.ExternalSource] = MeshMeta.Mesh, [MeshMeta.Owner] = owner },
        ModifyIndex = index,
    };

    private static ConsulService ServiceOf(Instance instance, string owner, ulong index) => new()
    {
        Id = instance.Id,
        Name = instance.Service,
        Address = instance.Address,
        Port = instance.Ports.IsEmpty ? 0 : instance.Ports[0].Port,
        Tags = instance.Version.Length > 0 ? [$"version={instance.Version}"] : [],
        Meta = MeshMeta.Write(instance, owner),
        Weights = new ConsulWeights(1, 1),
        ModifyIndex = index,
    };

    private static ConsulCheck CheckOf(DesiredEntry desired, string node) => new()
    {
        Node = node,
        Id = MeshMeta.CheckId(desired.Instance.Id),
        Name = "Mesh sidecar",
        Notes = "Kept by the mesh control plane as long as the sidecar is connected",
        Status = desired.Instance.Health switch
        {
            // Others see one check and one port: it is as well as all of them.
            InstanceHealth.Passing when desired.Instance.Ports.Any(port => port.IsDown) => "warning",
            InstanceHealth.Passing => "passing",
            InstanceHealth.Warning => "warning",
            _ => "critical",
        },
        Output = desired.Detail,
        ServiceId = desired.Instance.Id,
        ServiceName = desired.Instance.Service,
    };
}
