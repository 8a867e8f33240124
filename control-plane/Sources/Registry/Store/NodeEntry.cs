using System.Collections.Immutable;

namespace Mesh.ControlPlane.Sources.Registry.Store;

/// <summary>A node of the catalog with the services and checks on it. Immutable.</summary>
internal sealed record NodeEntry
{
    public required string Name { get; init; }

    public string Id { get; init; } = "";

    public string Address { get; init; } = "";

    public IReadOnlyDictionary<string, string> TaggedAddresses { get; init; } = Map.Empty<string>();

    public IReadOnlyDictionary<string, string> Meta { get; init; } = Map.Empty<string>();

    public ulong CreateIndex { get; init; }

    public ulong ModifyIndex { get; init; }

    /// <summary>The index of the last change to the node or to a service on it: what catalog/node/:node answers.</summary>
    public ulong ContentIndex { get; init; }

    public ImmutableSortedDictionary<string, ServiceEntry> Services { get; init; } = ByName<ServiceEntry>();

    public ImmutableSortedDictionary<string, CheckEntry> Checks { get; private init; } = ByName<CheckEntry>();

    /// <summary>The IDs of the checks of each service; under "" those of the node itself.</summary>
    private ImmutableSortedDictionary<string, ImmutableSortedSet<string>> CheckIds { get; init; } = ByName<ImmutableSortedSet<string>>();

    public bool SaysSameAs(NodeEntry other) =>
        Name == other.Name && Id == other.Id && Address == other.Address
        && Map.Same(TaggedAddresses, other.TaggedAddresses) && Map.Same(Meta, other.Meta);

    public NodeEntry WithCheck(CheckEntry check)
    {
        var without = WithoutCheck(check.Id);
        var ids = without.CheckIds.GetValueOrDefault(check.ServiceId, NoIds).Add(check.Id);
        return without with { Checks = without.Checks.Add(check.Id, check), CheckIds = without.CheckIds.SetItem(check.ServiceId, ids) };
    }

    public NodeEntry WithoutCheck(string id)
    {
        if (!Checks.TryGetValue(id, out var check)) return this;
        var ids = CheckIds[check.ServiceId].Remove(id);
        return this with
        {
            Checks = Checks.Remove(id),
            CheckIds = ids.IsEmpty ? CheckIds.Remove(check.ServiceId) : CheckIds.SetItem(check.ServiceId, ids),
        };
    }

    /// <summary>The checks of a service itself; those of the node for "".</summary>
    public IEnumerable<CheckEntry> ChecksOnlyOf(string serviceId) => CheckIds.GetValueOrDefault(serviceId, NoIds).Select(id => Checks[id]);

    /// <summary>The checks that decide about a service on this node: those of the node, then its own.</summary>
    public IEnumerable<CheckEntry> ChecksOf(string serviceId) => ChecksOnlyOf("").Concat(ChecksOnlyOf(serviceId));

    private static readonly ImmutableSortedSet<string> NoIds = ImmutableSortedSet.Create<string>(StringComparer.Ordinal);

    private static ImmutableSortedDictionary<string, T> ByName<T>() => ImmutableSortedDictionary.Create<string, T>(StringComparer.Ordinal);
}
