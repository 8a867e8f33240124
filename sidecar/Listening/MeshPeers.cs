using System.Collections.Concurrent;
using System.Collections.Frozen;
using System.Collections.Immutable;
using System.Net;
using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Listening;

/// <summary>
/// Says from which addresses clients come that may speak mutual TLS: those of the mesh's workloads, and those from which somebody has proved an
/// identity here. Their hello is waited for. Thread safe; lives as long as the data path.
/// </summary>
internal sealed class MeshPeers
{
    private const int MostProved = 4096;
    private readonly ConcurrentDictionary<IPAddress, byte> proved = new();
    private Known known = new([], FrozenSet<IPAddress>.Empty);

    /// <summary>Whether a client at that address may be a workload of the mesh.</summary>
    public bool MayBe(IPAddress address, Snapshot snapshot)
    {
        if (address.IsIPv4MappedToIPv6) address = address.MapToIPv4();
        return proved.ContainsKey(address) || snapshot.Ranges?.Workloads.Contains(address) == true || In(snapshot).Contains(address);
    }

    /// <summary>Somebody there has proved who he is.</summary>
    public void Proved(IPAddress address)
    {
        if (address.IsIPv4MappedToIPv6) address = address.MapToIPv4();
        if (proved.Count >= MostProved) proved.Clear();
        proved.TryAdd(address, 0);
    }

    /// <summary>The addresses of a snapshot, worked out when first asked for; a race costs one more, equal one.</summary>
    private FrozenSet<IPAddress> In(Snapshot snapshot)
    {
        var last = Volatile.Read(ref known);
        if (last.Of == snapshot.Clusters) return last.Addresses;
        var addresses = snapshot.Clusters
            .Where(cluster => cluster.Service != ServiceLabels.None)
            .SelectMany(cluster => cluster.Endpoints).SelectMany(endpoint => endpoint.More.Prepend(endpoint)).Select(endpoint => endpoint.Address?.Address).OfType<IPAddress>().ToFrozenSet();
        Volatile.Write(ref known, new Known(snapshot.Clusters, addresses));
        return addresses;
    }

    private sealed record Known(ImmutableArray<Cluster> Of, FrozenSet<IPAddress> Addresses);
}
