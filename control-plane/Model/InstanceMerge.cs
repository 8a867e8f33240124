using System.Collections.Immutable;
using System.Runtime.InteropServices;

namespace Mesh.ControlPlane.Model;

/// <summary>Makes one list of instances of all sources, each id once. Pure.</summary>
internal static class InstanceMerge
{
    /// <summary>The first source that knows an id wins. Instances equal to a previous one keep its object.</summary>
    public static Dictionary<string, Instance> Merge(
        IReadOnlyDictionary<string, Instance> previous,
        IEnumerable<ImmutableArray<Instance>> sources,
        IEnumerable<RuleSet> documents)
    {
        var merged = new Dictionary<string, Instance>(previous.Count + 16, StringComparer.Ordinal);
        var all = sources.Concat(documents.Select(set => set.Pods)).ToList();
        var taken = TakenAddresses(all);
        foreach (var source in all)
        {
            foreach (var said in source)
            {
                ref var slot = ref CollectionsMarshal.GetValueRefOrAddDefault(merged, said.Id, out var known);
                if (known) continue;
                var instance = said.MoreAddresses.Any(taken.Contains) ? said with { MoreAddresses = said.MoreAddresses.RemoveAll(taken.Contains) } : said;
                slot = previous.TryGetValue(instance.Id, out var old) && old.Equals(instance) ? old : instance;
            }
        }

        return merged;
    }

    // An address that one instance is called by is no other's, too: addresses go from one to another, and who had it before may not have said so yet.
    private static HashSet<string> TakenAddresses(List<ImmutableArray<Instance>> sources)
    {
        var more = sources.SelectMany(source => source).SelectMany(instance => instance.MoreAddresses).ToHashSet(StringComparer.Ordinal);
        return more.Count == 0 ? more : sources.SelectMany(source => source).Select(instance => instance.Address).Where(more.Contains).ToHashSet(StringComparer.Ordinal);
    }
}
