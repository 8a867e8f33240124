using System.Collections.Immutable;
using System.Net;
using System.Text;
using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Dns;

/// <summary>The names of the mesh for people: those that hold a text, and what a query of that very text would be answered. Pure.</summary>
internal static class NameSearch
{
    /// <summary>The names; all of them for an empty text.</summary>
    public static IEnumerable<ListedName> In(Snapshot snapshot, string text)
    {
        if (snapshot.Names is not { } table) return [];
        var holding = table.All().Where(name => name.Name.Contains(text, StringComparison.OrdinalIgnoreCase))
            .Select(name => new ListedName(name.Name, name.Bare, name.InstancesOf.Length == 0 ? name.Addresses : AddressesOf(snapshot, name.InstancesOf, ""), name.InstancesOf));
        return Asked(snapshot, table, text) is not { } asked ? holding : holding.Where(name => name.Name != asked.Name).Prepend(asked);
    }

    /// <summary>What a query of a name is answered; null where it is not the mesh's.</summary>
    private static ListedName? Asked(Snapshot snapshot, NameTable table, string text)
    {
        var name = text.ToLowerInvariant().TrimEnd('.');
        if (name.Length is 0 or > DnsWire.MostName || !Ascii.IsValid(name) || !table.TryFind(Encoding.ASCII.GetBytes(name), out var found)) return null;
        if (found.InstancesOf.Length == 0) return new ListedName(name, false, Addresses(found.V4, found.V6), "");
        var instances = AddressesOf(snapshot, found.InstancesOf, Encoding.ASCII.GetString(found.Instance));
        return found.Instance.IsEmpty || instances.Length > 0 ? new ListedName(name, false, instances, found.InstancesOf) : null;
    }

    private static ImmutableArray<IPAddress> AddressesOf(Snapshot snapshot, string cluster, string instance)
    {
        if (snapshot.ClusterOf(cluster) is not { } known) return [];
        var addresses = instance.Length == 0 ? known.Addresses : InstanceAddresses.Of(known.Endpoints, instance);
        return Addresses(addresses.V4, addresses.V6);
    }

    private static ImmutableArray<IPAddress> Addresses(ReadOnlySpan<byte> v4, ReadOnlySpan<byte> v6)
    {
        var addresses = ImmutableArray.CreateBuilder<IPAddress>();
        for (; v4.Length >= 4; v4 = v4[4..]) addresses.Add(new IPAddress(v4[..4]));
        for (; v6.Length >= 16; v6 = v6[16..]) addresses.Add(new IPAddress(v6[..16]));
        return addresses.ToImmutable();
    }
}

/// <summary>A name with its answer. Immutable.</summary>
/// <param name="Name">The name.</param>
/// <param name="Bare">True when its first label alone means it, too.</param>
/// <param name="Addresses">IPv4 before IPv6.</param>
/// <param name="InstancesOf">The cluster whose instances they are; empty when they are the service's own.</param>
internal sealed record ListedName(string Name, bool Bare, ImmutableArray<IPAddress> Addresses, string InstancesOf);
