using System.Collections.Immutable;

namespace Mesh.ControlPlane.Model;

/// <summary>
/// Finds instances by service and by selector in the time of the answer, not of all instances. Made for one build, on one thread.
/// Lists are sorted by id, so that what is made of them does not depend on the order in which a registry answers.
/// </summary>
internal sealed class InstanceDirectory
{
    private static readonly List<Instance> None = [];
    private readonly Dictionary<ServiceName, List<Instance>> byService = [];
    private readonly Dictionary<(string Namespace, string Key, string Value), List<Instance>> byLabel = [];
    private readonly ILookup<ServiceName, EndpointSliceDocument> slices;

    /// <summary>Indexes <paramref name="instances"/>; those under names nobody can call are left out and reported.</summary>
    public InstanceDirectory(IReadOnlyCollection<Instance> instances, IReadOnlyCollection<RuleSet> documents, Notices notices)
    {
        slices = documents.SelectMany(set => set.EndpointSlices).ToLookup(slice => slice.Service);
        var keys = documents.SelectMany(set => set.Services)
            .Where(service => service.Selector is { Count: > 0 })
            .Select(service => IndexKey(service.Selector!)).ToHashSet(StringComparer.Ordinal);
        foreach (var instance in instances)
        {
            if (instance.Service.Length > 0)
                Append(byService, new ServiceName(instance.Namespace, instance.Service), instance);
            // Workloads that only call others serve nothing, whatever their labels.
            if (instance is { Meshed: true, Ports.IsEmpty: true }) continue;
            foreach (var key in keys)
            {
                if (instance.Labels.TryGetValue(key, out var value)) Append(byLabel, (instance.Namespace, key, value), instance);
            }
        }

        DropUnnameable(notices);
        foreach (var list in byService.Values) SortById(list);
        foreach (var list in byLabel.Values) SortById(list);
    }

    /// <summary>Instances by the service they registered under.</summary>
    public IReadOnlyDictionary<ServiceName, List<Instance>> ByService => byService;

    /// <summary>Instances registered under a name.</summary>
    public List<Instance> Registered(ServiceName name) => byService.GetValueOrDefault(name, None);

    /// <summary>EndpointSlice documents of a service.</summary>
    public ImmutableArray<EndpointSliceDocument> Slices(ServiceName name) => [.. slices[name]];

    /// <summary>Instances of a namespace that carry all labels.</summary>
    public List<Instance> Selected(string ns, ImmutableSortedDictionary<string, string> selector)
    {
        var key = IndexKey(selector);
        var candidates = byLabel.GetValueOrDefault((ns, key, selector[key]), None);
        return selector.Count == 1 ? candidates : candidates.FindAll(instance => CarriesAll(instance, selector));
    }

    private void DropUnnameable(Notices notices)
    {
        foreach (var (name, list) in byService)
        {
            if (ServiceName.IsValid(name.Name) && ServiceName.IsValid(name.Namespace)) continue;
            byService.Remove(name);
            foreach (var instance in list)
            {
                notices.Add(
                    instance.Source,
                    $"instance {instance.Id} cannot be called by name: \"{name.Name}\" in \"{name.Namespace}\" is not a DNS label (a-z, 0-9, -, at most 63); register it under another name");
            }
        }
    }

    private static bool CarriesAll(Instance instance, ImmutableSortedDictionary<string, string> selector)
    {
        foreach (var (key, value) in selector)
        {
            if (!instance.Labels.TryGetValue(key, out var actual) || actual != value) return false;
        }

        return true;
    }

    // "app" tells services apart best; of other selectors any one key serves as index.
    private static string IndexKey(ImmutableSortedDictionary<string, string> selector)
    {
        if (selector.ContainsKey("app")) return "app";
        foreach (var (key, _) in selector) return key;
        return "";
    }

    private static void Append<TKey>(Dictionary<TKey, List<Instance>> index, TKey key, Instance instance)
        where TKey : notnull
    {
        if (index.TryGetValue(key, out var list)) list.Add(instance);
        else index.Add(key, new List<Instance>(8) { instance });
    }

    private static void SortById(List<Instance> list)
    {
        for (var i = 1; i < list.Count; i++)
        {
            if (string.CompareOrdinal(list[i - 1].Id, list[i].Id) <= 0) continue;
            list.Sort((one, other) => string.CompareOrdinal(one.Id, other.Id));
            return;
        }
    }
}
