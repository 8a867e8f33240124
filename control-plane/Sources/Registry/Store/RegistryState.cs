using System.Collections.Immutable;
using Mesh.ControlPlane.Sources.Registry.Checks;

namespace Mesh.ControlPlane.Sources.Registry.Store;

/// <summary>The name of one instance in the catalog.</summary>
internal readonly record struct InstanceKey(string Node, string ServiceId) : IComparable<InstanceKey>
{
    public int CompareTo(InstanceKey other)
    {
        var byNode = string.CompareOrdinal(Node, other.Node);
        return byNode != 0 ? byNode : string.CompareOrdinal(ServiceId, other.ServiceId);
    }
}

/// <summary>
/// Where the instances of a service are, and the index of the last change that a watcher of the service cares for. Immutable; a change of an
/// instance makes a new one.
/// </summary>
internal sealed record ServiceInstances(ulong Index, ImmutableSortedSet<InstanceKey> Keys)
{
    private IReadOnlyList<string>? tags;

    /// <summary>
    /// All tags of the instances. Gathered when first asked for: the list of all services is read often, and each time all but a few
    /// are as they were.
    /// </summary>
    public IReadOnlyList<string> TagsIn(RegistryState state) =>
        tags ??= [.. Keys.SelectMany(k => state.Nodes[k.Node].Services[k.ServiceId].Tags).Distinct(StringComparer.Ordinal)];
}

/// <summary>
/// Everything the registry knows at one index. Immutable: readers take the current one from <see cref="RegistryStore"/> without a lock.
/// Node and service names are found whatever their case, as in Consul.
/// </summary>
internal sealed record RegistryState
{
    /// <summary>The index of the last change of anything; grows with each change and survives a restart.</summary>
    public ulong Index { get; init; } = 1;

    /// <summary>The node that this agent's own services and checks are on.</summary>
    public string AgentNode { get; init; } = "";

    public ImmutableSortedDictionary<string, NodeEntry> Nodes { get; init; } =
        ImmutableSortedDictionary.Create<string, NodeEntry>(StringComparer.OrdinalIgnoreCase);

    public ImmutableSortedDictionary<string, ServiceInstances> Services { get; init; } =
        ImmutableSortedDictionary.Create<string, ServiceInstances>(StringComparer.OrdinalIgnoreCase);

    public KvTable Kv { get; init; } = KvTable.Empty;

    public ImmutableSortedDictionary<string, SessionEntry> Sessions { get; init; } =
        ImmutableSortedDictionary.Create<string, SessionEntry>(StringComparer.Ordinal);

    /// <summary>The services that were registered with this agent (rather than in the catalog), by ID.</summary>
    public ImmutableSortedSet<string> AgentServices { get; init; } = ImmutableSortedSet.Create<string>(StringComparer.Ordinal);

    /// <summary>The checks this agent runs, by ID; their state is in the catalog under the agent's node.</summary>
    public ImmutableSortedDictionary<string, CheckDefinition> AgentChecks { get; init; } =
        ImmutableSortedDictionary.Create<string, CheckDefinition>(StringComparer.Ordinal);

    public ulong NodesIndex { get; init; }

    public ulong ServicesIndex { get; init; }

    public ulong ChecksIndex { get; init; }

    public ulong SessionsIndex { get; init; }

    /// <summary>When the last instance of some service left: the index of all services that are not there.</summary>
    public ulong ServiceGoneIndex { get; init; }

    /// <summary>When some node left: the index of all nodes that are not there.</summary>
    public ulong NodeGoneIndex { get; init; }

    public ulong IndexOfService(string name) =>
        Services.TryGetValue(name, out var found) ? found.Index : ServiceGoneIndex > 0 ? ServiceGoneIndex : Math.Max(NodesIndex, ServicesIndex);

    public ulong IndexOfNode(string name) => Nodes.TryGetValue(name, out var found) ? found.ContentIndex : NodeGoneIndex;

    /// <summary>The instances of a service in a steady order.</summary>
    public IEnumerable<(NodeEntry Node, ServiceEntry Service)> InstancesOf(string name)
    {
        if (!Services.TryGetValue(name, out var found)) yield break;
        foreach (var key in found.Keys)
        {
            var node = Nodes[key.Node];
            yield return (node, node.Services[key.ServiceId]);
        }
    }
}
