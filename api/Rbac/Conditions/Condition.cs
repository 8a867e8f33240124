using System.Collections.Immutable;

namespace Mesh.Api.Rbac.Conditions;

/// <summary>One question about a request, compiled from a permission or a principal. Immutable; asks without allocating.</summary>
internal abstract class Condition
{
    /// <summary>Whether it holds.</summary>
    public abstract Truth Holds(scoped in RbacRequest request);

    /// <summary>Principals beside which it cannot hold, or null when there is no such list.</summary>
    public virtual Keys? Principals => null;

    /// <summary>Paths beside which it cannot hold, or null when there is no such list.</summary>
    public virtual Keys? Paths => null;
}

/// <summary>What a value must be, or begin with, for a condition to hold at all. Immutable.</summary>
internal sealed record Keys(ImmutableArray<string> Exact, ImmutableArray<string> Prefixes)
{
    public int Count => Exact.Length + Prefixes.Length;

    public static Keys? OfTest(StringTest test) => test.Kind switch
    {
        StringTestKind.Exact when !test.IgnoreCase => new Keys([test.Value], []),
        StringTestKind.Prefix when !test.IgnoreCase => new Keys([], [test.Value]),
        StringTestKind.OneOf when !test.IgnoreCase => new Keys([.. test.Values!], []),
        _ => null,
    };

    /// <summary>The keys of alternatives: all of them must have some.</summary>
    public static Keys? Union(IEnumerable<Keys?> all)
    {
        var (exact, prefixes) = (new List<string>(), new List<string>());
        foreach (var keys in all)
        {
            if (keys is null) return null;
            exact.AddRange(keys.Exact);
            prefixes.AddRange(keys.Prefixes);
        }

        return new Keys([.. exact], [.. prefixes]);
    }

    /// <summary>The keys of conditions that must all hold: the shortest list narrows most.</summary>
    public static Keys? Narrowest(IEnumerable<Keys?> all) => all.OfType<Keys>().MinBy(k => k.Count);
}
