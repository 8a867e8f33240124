using System.Collections.ObjectModel;

namespace Mesh.ControlPlane.Sources.Registry.Store;

/// <summary>Small maps of names: comparison by content, an empty one that all share. Stateless.</summary>
internal static class Map
{
    public static IReadOnlyDictionary<string, T> Empty<T>() => ReadOnlyDictionary<string, T>.Empty;

    public static bool Same<T>(IReadOnlyDictionary<string, T> a, IReadOnlyDictionary<string, T> b)
    {
        if (ReferenceEquals(a, b)) return true;
        if (a.Count != b.Count) return false;
        foreach (var (name, value) in a)
        {
            if (!b.TryGetValue(name, out var other) || !Equals(value, other)) return false;
        }

        return true;
    }
}
