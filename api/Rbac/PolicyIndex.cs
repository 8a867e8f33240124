using System.Collections.Frozen;
using System.Collections.Immutable;
using Mesh.Api.Rbac.Conditions;

namespace Mesh.Api.Rbac;

/// <summary>
/// Finds the few of many policies that can match a request at all: by its principal or by its path, whichever tells a policy better from the
/// others. Policies bound to neither are always asked. Immutable; looks without allocating.
/// </summary>
internal sealed class PolicyIndex
{
    /// <summary>Fewer policies are asked one by one in less time than they are looked up.</summary>
    public const int WorthIt = 8;

    private readonly ImmutableArray<Policy> policies;
    private readonly int[] always;
    private readonly KeyTable byPrincipal;
    private readonly KeyTable byPath;

    private PolicyIndex(ImmutableArray<Policy> policies, int[] always, KeyTable byPrincipal, KeyTable byPath)
    {
        this.policies = policies;
        this.always = always;
        this.byPrincipal = byPrincipal;
        this.byPath = byPath;
    }

    public static PolicyIndex Of(ImmutableArray<Policy> policies)
    {
        var (principals, paths) = (Uses(policies.Select(p => p.Principals)), Uses(policies.Select(p => p.Paths)));
        var (always, byPrincipal, byPath) = (new List<int>(), new Dictionary<Key, List<int>>(), new Dictionary<Key, List<int>>());
        for (var i = 0; i < policies.Length; i++)
        {
            var (who, where) = (Crowd(policies[i].Principals, principals), Crowd(policies[i].Paths, paths));
            if (who == int.MaxValue && where == int.MaxValue) always.Add(i);
            else if (who <= where) Put(byPrincipal, policies[i].Principals!, i);
            else Put(byPath, policies[i].Paths!, i);
        }

        return new PolicyIndex(policies, [.. always], new KeyTable(byPrincipal), new KeyTable(byPath));
    }

    /// <summary>Position of the first policy that matches well enough, or -1.</summary>
    public int First(scoped in RbacRequest request, Truth enough, ref bool maybe)
    {
        var best = policies.Length;
        Ask(always, request, enough, ref best, ref maybe);
        if (request.Principal is { } principal) Ask(byPrincipal, principal, request, enough, ref best, ref maybe);
        Ask(byPath, request.Path.Value, request, enough, ref best, ref maybe);
        return best < policies.Length ? best : -1;
    }

    private void Ask(KeyTable table, ReadOnlySpan<char> value, scoped in RbacRequest request, Truth enough, ref int best, ref bool maybe)
    {
        Ask(table.Exactly(value), request, enough, ref best, ref maybe);
        for (var prefix = table.LongestPrefix(value); prefix >= 0; prefix = table.Shorter(prefix))
        {
            Ask(table.OfPrefix(prefix), request, enough, ref best, ref maybe);
        }
    }

    private void Ask(int[] some, scoped in RbacRequest request, Truth enough, ref int best, ref bool maybe)
    {
        foreach (var i in some)
        {
            if (i >= best) return;
            var truth = policies[i].Matches(request);
            if (truth >= enough)
            {
                best = i;
                return;
            }

            maybe |= truth == Truth.Maybe;
        }
    }

    private static Dictionary<Key, int> Uses(IEnumerable<Keys?> all)
    {
        var uses = new Dictionary<Key, int>();
        foreach (var key in all.OfType<Keys>().SelectMany(Each)) uses[key] = uses.GetValueOrDefault(key) + 1;
        return uses;
    }

    /// <summary>How many policies share the most crowded of these keys.</summary>
    private static int Crowd(Keys? keys, Dictionary<Key, int> uses) => keys is null ? int.MaxValue : Each(keys).Select(k => uses[k]).DefaultIfEmpty(0).Max();

    private static void Put(Dictionary<Key, List<int>> table, Keys keys, int policy)
    {
        foreach (var key in Each(keys).Distinct())
        {
            if (!table.TryGetValue(key, out var list)) table.Add(key, list = []);
            list.Add(policy);
        }
    }

    private static IEnumerable<Key> Each(Keys keys) => keys.Exact.Select(e => new Key(e, false)).Concat(keys.Prefixes.Select(p => new Key(p, true)));
}

/// <summary>A value, or the beginning of one.</summary>
internal readonly record struct Key(string Text, bool IsPrefix);

/// <summary>
/// Policies by key. Prefixes stand sorted, each with the longest other one it begins with: all prefixes of a value that are in the table are
/// found behind the last one that is not greater than the value. Immutable.
/// </summary>
internal sealed class KeyTable
{
    private readonly FrozenDictionary<string, int[]>.AlternateLookup<ReadOnlySpan<char>> exact;
    private readonly string[] prefixes;
    private readonly int[] shorter;
    private readonly int[][] ofPrefix;
    private readonly bool hasExact;

    public KeyTable(Dictionary<Key, List<int>> lists)
    {
        var values = lists.Where(l => !l.Key.IsPrefix).ToFrozenDictionary(l => l.Key.Text, l => l.Value.ToArray(), StringComparer.Ordinal);
        exact = values.GetAlternateLookup<ReadOnlySpan<char>>();
        hasExact = values.Count > 0;
        var sorted = lists.Where(l => l.Key.IsPrefix).OrderBy(l => l.Key.Text, StringComparer.Ordinal).ToArray();
        prefixes = [.. sorted.Select(l => l.Key.Text)];
        ofPrefix = [.. sorted.Select(l => l.Value.ToArray())];
        shorter = new int[prefixes.Length];
        for (var i = 0; i < prefixes.Length; i++) shorter[i] = Begins(i - 1, prefixes[i]);
    }

    /// <summary>Policies of this value.</summary>
    public int[] Exactly(ReadOnlySpan<char> value) => hasExact && exact.TryGetValue(value, out var found) ? found : [];

    /// <summary>Policies of a prefix.</summary>
    public int[] OfPrefix(int prefix) => ofPrefix[prefix];

    /// <summary>The longest prefix in the table that the value begins with, or -1.</summary>
    public int LongestPrefix(ReadOnlySpan<char> value)
    {
        var (low, high) = (0, prefixes.Length);
        while (low < high)
        {
            var middle = (low + high) >>> 1;
            if (prefixes[middle].AsSpan().SequenceCompareTo(value) <= 0) low = middle + 1;
            else high = middle;
        }

        return Begins(low - 1, value);
    }

    /// <summary>The next shorter one, or -1.</summary>
    public int Shorter(int prefix) => shorter[prefix];

    /// <summary>From a prefix on the way down, the first that the value begins with.</summary>
    private int Begins(int from, ReadOnlySpan<char> value)
    {
        while (from >= 0 && !value.StartsWith(prefixes[from], StringComparison.Ordinal)) from = shorter[from];
        return from;
    }
}
