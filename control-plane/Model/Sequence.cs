using System.Collections.Immutable;
using System.Runtime.InteropServices;

namespace Mesh.ControlPlane.Model;

/// <summary>Equality by content for the arrays and maps inside records: a source that reads the same twice has changed nothing. Pure.</summary>
internal static class Sequence
{
    /// <summary>True for the same elements in the same order. The same array costs nothing.</summary>
    public static bool Same<T>(ImmutableArray<T> one, ImmutableArray<T> other)
    {
        var left = ImmutableCollectionsMarshal.AsArray(one);
        var right = ImmutableCollectionsMarshal.AsArray(other);
        if (ReferenceEquals(left, right)) return true;
        return left is not null && right is not null && left.AsSpan().SequenceEqual(right);
    }

    /// <summary>True for the same pairs.</summary>
    public static bool Same(ImmutableSortedDictionary<string, string>? one, ImmutableSortedDictionary<string, string>? other)
    {
        if (ReferenceEquals(one, other)) return true;
        return one is not null && other is not null && one.Count == other.Count && one.SequenceEqual(other);
    }
}
