using System.Collections.Immutable;

namespace Mesh.ControlPlane.Sources.Registry.Store;

/// <summary>
/// The keys in order, so that a prefix is a range, and the indexes of the latest deletions, so that a watcher of a prefix sees its index
/// grow when a key under it goes. Immutable.
/// </summary>
internal sealed class KvTable
{
    /// <summary>How many deletions are remembered. A prefix whose deletions were forgotten falls back to the table's index or to a smaller one;
    /// Consul's does the same when it clears its tombstones, and clients must begin anew then.</summary>
    public const int MaxDeletions = 4096;

    public static readonly KvTable Empty = new(ImmutableSortedSet.Create<KvEntry>(ByKey.Comparer), ImmutableSortedSet.Create<KvEntry>(ByKey.Comparer), 0);

    private readonly ImmutableSortedSet<KvEntry> entries;
    private readonly ImmutableSortedSet<KvEntry> deletions;

    private KvTable(ImmutableSortedSet<KvEntry> entries, ImmutableSortedSet<KvEntry> deletions, ulong index)
    {
        this.entries = entries;
        this.deletions = deletions;
        Index = index;
    }

    /// <summary>The index of the last change to any key.</summary>
    public ulong Index { get; }

    public IReadOnlyList<KvEntry> Entries => entries;

    /// <summary>The keys that were deleted lately, with the index of their deletion.</summary>
    public IReadOnlyDictionary<string, ulong> Deletions => deletions.ToDictionary(d => d.Key, d => d.ModifyIndex, StringComparer.Ordinal);

    public static KvTable Restored(IEnumerable<KvEntry> entries, IReadOnlyDictionary<string, ulong> deletions, ulong index) =>
        new(Empty.entries.Union(entries), Empty.deletions.Union(deletions.Select(d => new KvEntry(d.Key) { ModifyIndex = d.Value })), index);

    public KvEntry? Find(string key) => entries.TryGetValue(new KvEntry(key), out var found) ? found : null;

    public IEnumerable<KvEntry> Under(string prefix) => Range(entries, prefix);

    public ulong IndexUnder(string prefix)
    {
        var latest = Under(prefix).Concat(Range(deletions, prefix)).Select(e => e.ModifyIndex).DefaultIfEmpty().Max();
        return latest > 0 ? latest : Index;
    }

    public KvTable With(KvEntry entry) =>
        new(entries.Remove(entry).Add(entry), deletions.Remove(entry), entry.ModifyIndex);

    public KvTable Without(string key, ulong index)
    {
        var probe = new KvEntry(key) { ModifyIndex = index };
        var kept = deletions.Count < MaxDeletions ? deletions : deletions.Remove(deletions.MinBy(d => d.ModifyIndex)!);
        return new KvTable(entries.Remove(probe), kept.Remove(probe).Add(probe), index);
    }

    private static IEnumerable<KvEntry> Range(ImmutableSortedSet<KvEntry> set, string prefix)
    {
        var at = set.IndexOf(new KvEntry(prefix));
        for (var i = at < 0 ? ~at : at; i < set.Count && set[i].Key.StartsWith(prefix, StringComparison.Ordinal); i++) yield return set[i];
    }

    private sealed class ByKey : IComparer<KvEntry>
    {
        public static readonly ByKey Comparer = new();

        public int Compare(KvEntry? x, KvEntry? y) => string.CompareOrdinal(x!.Key, y!.Key);
    }
}
