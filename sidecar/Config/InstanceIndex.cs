using System.Collections.Immutable;
using System.Net;

namespace Mesh.Sidecar.Config;

/// <summary>
/// Every instance of every service by the address and port it serves at. Asked once for each captured connection that no chain is for.
/// Immutable; a new one shares what did not change with the one before, so that a change costs what changed and not what there is.
/// </summary>
internal sealed class InstanceIndex
{
    private readonly ImmutableDictionary<Destination, Entry> entries;

    private InstanceIndex(ImmutableDictionary<Destination, Entry> entries) => this.entries = entries;

    /// <summary>No instance.</summary>
    public static InstanceIndex Empty { get; } = new(ImmutableDictionary<Destination, Entry>.Empty);

    /// <summary>How many addresses there are.</summary>
    public int Count => entries.Count;

    /// <summary>
    /// The instance at an address; null when none is known. Where several services have it, that of the service whose cluster's name comes
    /// first: the same one always, and everywhere.
    /// </summary>
    public Instance? Find(IPEndPoint destination) =>
        entries.Count > 0 && entries.TryGetValue(Destination.Of(destination), out var entry) ? entry.First : null;

    /// <summary>The index without some instances and with others.</summary>
    public InstanceIndex With(IReadOnlyCollection<Instance> gone, IReadOnlyCollection<Instance> come)
    {
        if (gone.Count == 0 && come.Count == 0) return this;
        var builder = entries.ToBuilder();
        foreach (var one in gone) Remove(builder, one);
        foreach (var one in come) Add(builder, one);
        return new InstanceIndex(builder.ToImmutable());
    }

    private static void Add(ImmutableDictionary<Destination, Entry>.Builder builder, Instance one)
    {
        var key = Destination.Of(one.Endpoint.Address!);
        builder[key] = builder.TryGetValue(key, out var there) ? Entry.Of([there.First, .. there.Others, one]) : new Entry(one, []);
    }

    private static void Remove(ImmutableDictionary<Destination, Entry>.Builder builder, Instance one)
    {
        var key = Destination.Of(one.Endpoint.Address!);
        if (!builder.TryGetValue(key, out var there)) return;
        if (there.Others.IsEmpty)
        {
            if (ReferenceEquals(there.First, one)) builder.Remove(key);
            return;
        }

        builder[key] = Entry.Of([.. there.Others.Prepend(there.First).Where(i => !ReferenceEquals(i, one))]);
    }

    /// <summary>The instances at an address, nearly always one.</summary>
    private readonly record struct Entry(Instance First, ImmutableArray<Instance> Others)
    {
        public static Entry Of(Instance[] all)
        {
            Array.Sort(all, static (a, b) => string.CompareOrdinal(a.Service.Name, b.Service.Name));
            return new Entry(all[0], [.. all.AsSpan(1)]);
        }
    }
}
