using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text;

namespace Mesh.ControlPlane.Compilation;

/// <summary>
/// The resources of one type for one node, sorted by name (ordinal), each name once. Immutable.
/// A sorted array and not a tree: sets are merged from shared parts far more often than they are searched.
/// </summary>
internal sealed class ResourceSet
{
    private string? version;

    private ResourceSet(ImmutableArray<Resource> items) => Items = items;

    /// <summary>No resources.</summary>
    public static ResourceSet Empty { get; } = new([]);

    /// <summary>All resources, sorted by name.</summary>
    public ImmutableArray<Resource> Items { get; }

    /// <summary>Hash of all names and versions. Computed when first asked for; two threads that race compute the same.</summary>
    public string Version => version ??= Hash();

    /// <summary>Sorts <paramref name="resources"/>; of two with one name the first stays. Equal to <paramref name="previous"/>: that one.</summary>
    public static ResourceSet From(IEnumerable<Resource> resources, ResourceSet? previous = null)
    {
        Resource[] sorted = [.. resources];
        if (!IsSorted(sorted)) sorted = [.. sorted.OrderBy(resource => resource.Name, StringComparer.Ordinal).DistinctBy(resource => resource.Name)];
        return Keep(previous, sorted);
    }

    /// <summary>Both sets; of two with one name that of <paramref name="own"/> stays. Equal to <paramref name="previous"/>: that one.</summary>
    public static ResourceSet Merge(ResourceSet shared, ResourceSet own, ResourceSet? previous)
    {
        if (own.Items.Length == 0) return Keep(previous, shared);
        if (shared.Items.Length == 0) return Keep(previous, own);
        var merged = ImmutableArray.CreateBuilder<Resource>(shared.Items.Length + own.Items.Length);
        var next = 0;
        foreach (var resource in shared.Items)
        {
            var order = -1;
            while (next < own.Items.Length && (order = string.CompareOrdinal(own.Items[next].Name, resource.Name)) <= 0)
            {
                merged.Add(own.Items[next++]);
                if (order == 0) break;
            }

            if (order != 0) merged.Add(resource);
        }

        while (next < own.Items.Length) merged.Add(own.Items[next++]);
        return Keep(previous, merged.DrainToImmutable());
    }

    /// <summary>Finds a resource by name.</summary>
    public bool TryGet(string name, [NotNullWhen(true)] out Resource? resource)
    {
        var low = 0;
        var high = Items.Length - 1;
        while (low <= high)
        {
            var middle = (low + high) >>> 1;
            var order = string.CompareOrdinal(Items[middle].Name, name);
            if (order == 0)
            {
                resource = Items[middle];
                return true;
            }

            if (order < 0) low = middle + 1;
            else high = middle - 1;
        }

        resource = null;
        return false;
    }

    private static ResourceSet Keep(ResourceSet? previous, ResourceSet next) =>
        previous is not null && (ReferenceEquals(previous, next) || Same(previous.Items.AsSpan(), next.Items.AsSpan())) ? previous : next;

    private static ResourceSet Keep(ResourceSet? previous, Resource[] items) =>
        previous is not null && Same(previous.Items.AsSpan(), items) ? previous : Wrap(ImmutableArray.Create(items));

    private static ResourceSet Keep(ResourceSet? previous, ImmutableArray<Resource> items) =>
        previous is not null && Same(previous.Items.AsSpan(), items.AsSpan()) ? previous : Wrap(items);

    private static ResourceSet Wrap(ImmutableArray<Resource> items) => items.Length == 0 ? Empty : new ResourceSet(items);

    private static bool Same(ReadOnlySpan<Resource> one, ReadOnlySpan<Resource> other)
    {
        if (one.Length != other.Length) return false;
        for (var i = 0; i < one.Length; i++)
        {
            if (!ReferenceEquals(one[i], other[i]) && (one[i].Name != other[i].Name || one[i].Version != other[i].Version)) return false;
        }

        return true;
    }

    private static bool IsSorted(Resource[] resources)
    {
        for (var i = 1; i < resources.Length; i++)
        {
            if (string.CompareOrdinal(resources[i - 1].Name, resources[i].Name) >= 0) return false;
        }

        return true;
    }

    private string Hash()
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (var item in Items) hash.AppendData(Encoding.UTF8.GetBytes($"{item.Name}\n{item.Version}\n"));
        return Convert.ToHexStringLower(hash.GetHashAndReset().AsSpan(0, 8));
    }
}
