using System.Collections.Immutable;

namespace Mesh.Sidecar.Identity;

/// <summary>
/// Which SPIFFE IDs may be at the other end: those that are named, letter by letter, or that begin with a prefix; without either, any of the
/// trust domain. Immutable.
/// </summary>
/// <param name="Exact">IDs, sorted.</param>
/// <param name="Prefixes">Beginnings of IDs, sorted; each ends in a slash, so that no name is the beginning of another.</param>
internal sealed record PeerRule(ImmutableArray<string> Exact, ImmutableArray<string> Prefixes)
{
    /// <summary>Any ID of the trust domain.</summary>
    public static PeerRule Any { get; } = new([], []);

    /// <summary>True when nobody in particular is expected.</summary>
    public bool TakesAny => Exact.IsEmpty && Prefixes.IsEmpty;

    /// <summary>Whether an ID that was proven may be there.</summary>
    public bool Takes(string id)
    {
        if (TakesAny || Exact.Contains(id, StringComparer.Ordinal)) return true;
        foreach (var prefix in Prefixes)
        {
            if (id.StartsWith(prefix, StringComparison.Ordinal)) return true;
        }

        return false;
    }

    /// <inheritdoc/>
    public bool Equals(PeerRule? other) =>
        other is not null && Exact.AsSpan().SequenceEqual(other.Exact.AsSpan()) && Prefixes.AsSpan().SequenceEqual(other.Prefixes.AsSpan());

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Exact.Length, Exact.IsEmpty ? "" : Exact[0], Prefixes.Length);

    /// <summary>The IDs, for error texts: a few of them.</summary>
    public override string ToString()
    {
        const int Shown = 4;
        var all = Exact.Concat(Prefixes.Select(p => p + "*")).ToList();
        if (all.Count == 0) return "any ID of the trust domain";
        return string.Join(" or ", all.Take(Shown)) + (all.Count > Shown ? $" or {all.Count - Shown} more" : "");
    }
}
