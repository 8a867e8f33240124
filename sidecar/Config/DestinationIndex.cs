using System.Collections.Frozen;
using System.Collections.Immutable;

namespace Mesh.Sidecar.Config;

/// <summary>
/// Which filter chains of a listener are for a destination, by Envoy's order: a chain for the port beats those for any port, a longer range of
/// addresses beats a shorter one, and there is no way back from either. However many services there are, a destination costs one lookup for
/// each length of ranges that its port has. Holds positions, not chains: linking does not touch it. Immutable.
/// </summary>
public sealed class DestinationIndex
{
    private const int AnyPort = 0;
    private readonly FrozenDictionary<AddressPrefix, int> groups; // the port stands in the prefix's address
    private readonly FrozenDictionary<int, ImmutableArray<int>> lengths; // of a port, longest first

    private DestinationIndex(Dictionary<AddressPrefix, List<int>> members)
    {
        Members = [.. members.Values.Select(m => m.ToImmutableArray())];
        groups = members.Keys.Select((key, group) => KeyValuePair.Create(key, group)).ToFrozenDictionary();
        lengths = members.Keys.GroupBy(k => k.Address.Port)
            .ToFrozenDictionary(g => g.Key, g => g.Select(k => k.Length).Distinct().OrderDescending().ToImmutableArray());
    }

    /// <summary>Positions of the chains of each group, in document order.</summary>
    public ImmutableArray<ImmutableArray<int>> Members { get; }

    /// <summary>The index of a listener's chains.</summary>
    public static DestinationIndex Of(ImmutableArray<FilterChain> chains)
    {
        var members = new Dictionary<AddressPrefix, List<int>>();
        for (var i = 0; i < chains.Length; i++)
        {
            foreach (var key in Keys(chains[i]))
            {
                if (!members.TryGetValue(key, out var group)) members.Add(key, group = []);
                group.Add(i);
            }
        }

        return new DestinationIndex(members);
    }

    /// <summary>What a chain is for, each range with the port in it; the whole of all addresses where it names none.</summary>
    public static IEnumerable<AddressPrefix> Keys(FilterChain chain)
    {
        if (chain.Destinations.IsEmpty) return [new AddressPrefix(new Destination(0, 0, chain.DestinationPort), 0)];
        return chain.Destinations.Select(p => p with { Address = p.Address with { Port = chain.DestinationPort } }).Distinct();
    }

    /// <summary>The group for a destination; -1 when there is none.</summary>
    public int Find(Destination destination)
    {
        // As in Envoy: where a port has chains of its own, those for any port are not asked.
        var port = lengths.ContainsKey(destination.Port) ? destination.Port : AnyPort;
        if (!lengths.TryGetValue(port, out var known)) return -1;
        var address = destination with { Port = port };
        foreach (var length in known)
        {
            if (groups.TryGetValue(new AddressPrefix(address.First(length), length), out var group)) return group;
        }

        return -1;
    }
}
