using System.Collections.Frozen;
using System.Collections.Immutable;
using System.Net;
using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Listening;

/// <summary>The addresses of all endpoints of the mesh's services, whatever their ports. Thread safe; lives as long as the data path.</summary>
internal sealed class RegisteredAddresses
{
    private Known known = new([], FrozenSet<IPAddress>.Empty);

    /// <summary>Whether some endpoint has an address.</summary>
    public bool Has(Snapshot snapshot, IPAddress address) => In(snapshot).Contains(Unmapped(address));

    /// <summary>The addresses of a snapshot, worked out when first asked for; a race costs one more, equal one.</summary>
    private FrozenSet<IPAddress> In(Snapshot snapshot)
    {
        var last = Volatile.Read(ref known);
        if (last.Of == snapshot.Clusters) return last.Addresses;
        var addresses = snapshot.Clusters
            .Where(cluster => cluster.Service != ServiceLabels.None)
            .SelectMany(cluster => cluster.Endpoints).Where(endpoint => !endpoint.IsForeign).SelectMany(endpoint => endpoint.More.Prepend(endpoint)).Select(endpoint => endpoint.Address?.Address).OfType<IPAddress>().Select(Unmapped).ToFrozenSet();
        Volatile.Write(ref known, new Known(snapshot.Clusters, addresses));
        return addresses;
    }

    private static IPAddress Unmapped(IPAddress address) => address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;

    private sealed record Known(ImmutableArray<Cluster> Of, FrozenSet<IPAddress> Addresses);
}
