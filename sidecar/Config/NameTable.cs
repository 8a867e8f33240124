using System.Collections.Immutable;
using System.Net;
using System.Text;

namespace Mesh.Sidecar.Config;

/// <summary>
/// All names of the mesh with their addresses, whole: a few arrays, whatever the number of names. A service has a dozen ways to be written and one
/// entry; the ways are taken apart when somebody asks. Immutable; thread safe; asking allocates nothing.
/// </summary>
internal sealed class NameTable
{
    private const int MostName = 253; // as text
    private readonly NameTableParts parts;
    private readonly byte[] suffix;
    private readonly NameIndex full;
    private readonly NameIndex bare;
    private readonly NameIndex hosts;
    private readonly NameIndex wildcards;

    /// <summary>A table of these parts, which nobody changes any more.</summary>
    public NameTable(NameTableParts parts)
    {
        this.parts = parts;
        suffix = Encoding.ASCII.GetBytes($".svc.{parts.ClusterDomain}");
        full = Index(e => !e.External, e => new NameKey(e.Start, e.Length, 0));
        bare = Index(e => e.Bare, e => new NameKey(e.Start, e.NameLength, 0));
        hosts = Index(e => e is { External: true, Wildcard: false }, e => new NameKey(e.Start, e.Length, 0));
        wildcards = Index(e => e.Wildcard, e => new NameKey(e.Start, e.Length, 0));
    }

    /// <summary>The domain of all services' full names.</summary>
    public string ClusterDomain => parts.ClusterDomain;

    /// <summary>Number of services.</summary>
    public int Services => full.Count;

    /// <summary>Number of external names.</summary>
    public int Externals => hosts.Count + wildcards.Count;

    /// <summary>
    /// What a name means: labels in lower case with dots between, none at the end. False for names that are not the mesh's.
    /// </summary>
    public bool TryFind(ReadOnlySpan<byte> name, out MeshName found)
    {
        var entry = Service(name, out var instance);
        if (entry < 0) entry = External(name);
        found = entry < 0 ? default : new MeshName(AddressesOf(entry, v6: false), AddressesOf(entry, v6: true), InstancesOf(entry), instance);
        return entry >= 0;
    }

    /// <summary>
    /// The full name of who has an address (4 or 16 bytes), in <paramref name="name"/> (255 bytes); its length, 0 when nobody has it. Looks at all
    /// entries: hardly anybody asks, and an index would be a third more memory.
    /// </summary>
    public int NameOf(ReadOnlySpan<byte> address, Span<byte> name)
    {
        for (var i = 0; i < parts.Entries.Length; i++)
        {
            var entry = parts.Entries[i];
            if (entry.Wildcard || !Has(AddressesOf(i, address.Length > 4), address)) continue;
            var tail = entry.External ? [] : suffix.AsSpan();
            if (entry.Length + tail.Length > MostName) continue;
            parts.Text.AsSpan(entry.Start, entry.Length).CopyTo(name);
            tail.CopyTo(name[entry.Length..]);
            return entry.Length + tail.Length;
        }

        return 0;
    }

    /// <summary>All entries, for people: name, addresses, and the cluster whose endpoints are the answer (empty for those with addresses).</summary>
    public IEnumerable<(string Name, bool Bare, ImmutableArray<IPAddress> Addresses, string InstancesOf)> All()
    {
        for (var i = 0; i < parts.Entries.Length; i++)
        {
            var entry = parts.Entries[i];
            var text = Encoding.ASCII.GetString(parts.Text, entry.Start, entry.Length);
            var name = entry.Wildcard ? $"*.{text}" : entry.External ? text : $"{text}.svc.{ClusterDomain}";
            yield return (name, entry.Bare, [.. Addresses(i, v6: false), .. Addresses(i, v6: true)], InstancesOf(i));
        }
    }

    private static ReadOnlySpan<byte> ConsulSuffix => ".service.consul"u8;

    private static ReadOnlySpan<byte> ShortSuffix => ".svc"u8;

    private int Service(ReadOnlySpan<byte> name, out ReadOnlySpan<byte> instance)
    {
        if (name.EndsWith(ConsulSuffix)) return Find(bare, name[..^ConsulSuffix.Length], labels: 1, out instance);
        if (name.EndsWith(suffix)) return Find(full, name[..^suffix.Length], labels: 2, out instance);
        if (name.EndsWith(ShortSuffix) && Find(full, name[..^ShortSuffix.Length], labels: 2, out instance) is var found and >= 0) return found;
        found = Find(full, name, labels: 2, out instance);
        return found >= 0 ? found : Find(bare, name, labels: 1, out instance);
    }

    /// <summary>The service a text of so many labels names; with one label more, that is one of its instances when it is headless.</summary>
    private int Find(NameIndex index, ReadOnlySpan<byte> text, int labels, out ReadOnlySpan<byte> instance)
    {
        instance = default;
        var more = text.Count((byte)'.') + 1 - labels;
        if (more == 1)
        {
            var dot = text.IndexOf((byte)'.');
            instance = text[..dot];
            text = text[(dot + 1)..];
        }

        if (more is not (0 or 1)) return -1;
        var key = index.Find(text);
        if (key < 0) return -1;
        var entry = index.EntryOf(key);
        return more == 1 && parts.Entries[entry].InstancesOf < 0 ? -1 : entry;
    }

    private static bool Has(ReadOnlySpan<byte> addresses, ReadOnlySpan<byte> address)
    {
        for (; !addresses.IsEmpty; addresses = addresses[address.Length..])
        {
            if (addresses.StartsWith(address)) return true;
        }

        return false;
    }

    private int External(ReadOnlySpan<byte> name)
    {
        if (hosts.Find(name) is var host and >= 0) return hosts.EntryOf(host);
        while (wildcards.Count > 0 && name.IndexOf((byte)'.') is var dot and >= 0)
        {
            name = name[(dot + 1)..];
            if (wildcards.Find(name) is var wildcard and >= 0) return wildcards.EntryOf(wildcard);
        }

        return -1;
    }

    private string InstancesOf(int entry) => parts.Entries[entry].InstancesOf is var cluster and >= 0 ? parts.Clusters[cluster] : "";

    private ReadOnlySpan<byte> AddressesOf(int index, bool v6)
    {
        var entry = parts.Entries[index];
        var v4 = entry.V4 * 4;
        return v6 ? parts.Addresses.AsSpan(entry.AddressesAt + v4, entry.V6 * 16) : parts.Addresses.AsSpan(entry.AddressesAt, v4);
    }

    private IPAddress[] Addresses(int index, bool v6) =>
        [.. AddressesOf(index, v6).ToArray().Chunk(v6 ? 16 : 4).Select(bytes => new IPAddress(bytes))];

    private NameIndex Index(Func<NameEntry, bool> holds, Func<NameEntry, NameKey> key)
    {
        var keys = ImmutableArray.CreateBuilder<NameKey>(parts.Entries.Count(holds));
        for (var i = 0; i < parts.Entries.Length; i++)
        {
            if (holds(parts.Entries[i])) keys.Add(key(parts.Entries[i]) with { Entry = i });
        }

        return new NameIndex(parts.Text, keys.MoveToImmutable());
    }
}

/// <summary>What a table of names is made of.</summary>
/// <param name="ClusterDomain">The domain of all services' full names.</param>
/// <param name="Text">All names, one after the other: of services <c>name.namespace</c>, of external names the host without <c>*.</c>.</param>
/// <param name="Addresses">All addresses in network order; of each entry those of IPv4 first.</param>
/// <param name="Entries">The entries.</param>
/// <param name="Clusters">Names of clusters that entries refer to.</param>
internal sealed record NameTableParts(string ClusterDomain, byte[] Text, byte[] Addresses, NameEntry[] Entries, string[] Clusters);

/// <summary>A service or an external name.</summary>
internal readonly record struct NameEntry
{
    /// <summary>Where its text begins.</summary>
    public int Start { get; init; }

    /// <summary>Where its addresses begin.</summary>
    public int AddressesAt { get; init; }

    /// <summary>Which cluster's endpoints are the answer; -1 for none.</summary>
    public int InstancesOf { get; init; }

    /// <summary>Bytes of its text.</summary>
    public byte Length { get; init; }

    /// <summary>Bytes of the text before the namespace.</summary>
    public byte NameLength { get; init; }

    /// <summary>How many addresses of IPv4.</summary>
    public byte V4 { get; init; }

    /// <summary>How many of IPv6.</summary>
    public byte V6 { get; init; }

    /// <summary>The name without a namespace means it.</summary>
    public bool Bare { get; init; }

    /// <summary>No service of the mesh.</summary>
    public bool External { get; init; }

    /// <summary>All names below its text.</summary>
    public bool Wildcard { get; init; }
}

/// <summary>What a name of the mesh means. Lives as long as the buffers it was made of.</summary>
/// <param name="v4">Addresses of IPv4, four bytes each.</param>
/// <param name="v6">Addresses of IPv6, sixteen bytes each.</param>
/// <param name="instancesOf">The cluster whose endpoints' addresses are the answer; empty when it has addresses of its own.</param>
/// <param name="instance">Which instance is asked for; empty for the service.</param>
internal readonly ref struct MeshName(ReadOnlySpan<byte> v4, ReadOnlySpan<byte> v6, string instancesOf, ReadOnlySpan<byte> instance)
{
    /// <summary>Addresses of IPv4, four bytes each.</summary>
    public ReadOnlySpan<byte> V4 { get; } = v4;

    /// <summary>Addresses of IPv6, sixteen bytes each.</summary>
    public ReadOnlySpan<byte> V6 { get; } = v6;

    /// <summary>The cluster whose endpoints' addresses are the answer; empty when it has addresses of its own.</summary>
    public string InstancesOf { get; } = instancesOf;

    /// <summary>Host name of the instance that is asked for; empty for the service.</summary>
    public ReadOnlySpan<byte> Instance { get; } = instance;
}
