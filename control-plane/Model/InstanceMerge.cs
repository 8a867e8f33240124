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
        foreach (var source in sources.Concat(documents.Select(set => set.Pods)))
        {
            foreach (var instance in source)
            {
                ref var slot = ref CollectionsMarshal.GetValueRefOrAddDefault(merged, instance.Id, out var known);
                if (known) continue;
                slot = previous.TryGetValue(instance.Id, out var old) && old.Equals(instance) ? old : instance;
            }
        }

        return merged;
    }
}
