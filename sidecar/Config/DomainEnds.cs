using System.Collections.Frozen;
using System.Collections.Immutable;

namespace Mesh.Sidecar.Config;

/// <summary>
/// The domains with a star at one end, without it, to be found by a host: one lookup for each length that occurs, however many there are.
/// Immutable.
/// </summary>
public sealed class DomainEnds
{
    private readonly FrozenDictionary<string, int> hosts;
    private readonly FrozenDictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> lookup;
    private readonly ImmutableArray<int> lengths; // longest first

    /// <summary>Texts, each once whatever their case, and the virtual hosts they stand for.</summary>
    public DomainEnds(IEnumerable<(string Text, int Host)> domains)
    {
        hosts = domains.ToFrozenDictionary(d => d.Text, d => d.Host, StringComparer.OrdinalIgnoreCase);
        lookup = hosts.GetAlternateLookup<ReadOnlySpan<char>>();
        lengths = [.. hosts.Keys.Select(k => k.Length).Distinct().OrderDescending()];
    }

    /// <summary>No domain.</summary>
    public static DomainEnds None { get; } = new([]);

    /// <summary>How many there are.</summary>
    public int Count => hosts.Count;

    /// <summary>The virtual host of the longest text that <paramref name="host"/> ends with; -1 when there is none.</summary>
    public int FindEndOf(ReadOnlySpan<char> host)
    {
        foreach (var length in lengths)
        {
            // The star stands for at least one character, as in Envoy.
            if (length < host.Length && lookup.TryGetValue(host[^length..], out var index)) return index;
        }

        return -1;
    }

    /// <summary>The virtual host of the longest text that <paramref name="host"/> begins with; -1 when there is none.</summary>
    public int FindBeginOf(ReadOnlySpan<char> host)
    {
        foreach (var length in lengths)
        {
            if (length < host.Length && lookup.TryGetValue(host[..length], out var index)) return index;
        }

        return -1;
    }
}
