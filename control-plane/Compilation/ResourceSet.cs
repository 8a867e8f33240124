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

    /// <summary>Sorts <paramref name="resources"/>; of two with one name the first stays.</summary>
    public static ResourceSet From(IEnumerable<Resource> resources)
    {
        var byName = new SortedDictionary<string, Resource>(StringComparer.Ordinal);
        foreach (var resource in resources) byName.TryAdd(resource.Name, resource);
        return byName.Count == 0 ? Empty : new ResourceSet([.. byName.Values]);
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

    private string Hash()
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (var item in Items) hash.AppendData(Encoding.UTF8.GetBytes($"{item.Name}\n{item.Version}\n"));
        return Convert.ToHexStringLower(hash.GetHashAndReset().AsSpan(0, 8));
    }
}
