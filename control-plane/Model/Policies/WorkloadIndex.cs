using System.Collections.Immutable;

namespace Mesh.ControlPlane.Model.Policies;

/// <summary>Finds the workloads that policies select, without looking at all of them for each. Made for one build, on one thread.</summary>
internal sealed class WorkloadIndex
{
    private readonly Dictionary<(string Key, string Value), List<Instance>> byLabel = [];
    private readonly IEnumerable<Instance> all;

    /// <summary>Indexes instances by the labels that selectors use.</summary>
    public WorkloadIndex(IEnumerable<Instance> instances, IEnumerable<ImmutableSortedDictionary<string, string>> selectors)
    {
        all = instances;
        var keys = selectors.Where(selector => !selector.IsEmpty).Select(KeyOf).ToHashSet(StringComparer.Ordinal);
        if (keys.Count == 0) return;
        foreach (var instance in instances)
        {
            foreach (var key in keys)
            {
                if (!instance.Labels.TryGetValue(key, out var value)) continue;
                if (byLabel.TryGetValue((key, value), out var list)) list.Add(instance);
                else byLabel.Add((key, value), [instance]);
            }
        }
    }

    /// <summary>Those a policy of a namespace reaches that carry all labels of its selector.</summary>
    public IEnumerable<Instance> Selected(string ns, ImmutableSortedDictionary<string, string> selector)
    {
        var candidates = all;
        if (!selector.IsEmpty)
        {
            var key = KeyOf(selector);
            candidates = byLabel.GetValueOrDefault((key, selector[key]), []);
        }

        return candidates.Where(instance =>
            (ns == PolicySet.RootNamespace || instance.Namespace == ns) && (selector.IsEmpty || WorkloadTraits.Of(instance).Carries(selector)));
    }

    private static string KeyOf(ImmutableSortedDictionary<string, string> selector)
    {
        if (selector.ContainsKey("app")) return "app";
        foreach (var (key, _) in selector) return key;
        return "";
    }
}
