using System.Collections.Concurrent;
using System.Net;
using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Listening;

/// <summary>
/// Says from which addresses clients come that may speak mutual TLS: those of the mesh's workloads, and those from which somebody has proved an
/// identity here. Their hello is waited for. Thread safe; lives as long as the data path.
/// </summary>
internal sealed class MeshPeers(RegisteredAddresses registered)
{
    private const int MostProved = 4096;
    private readonly ConcurrentDictionary<IPAddress, byte> proved = new();

    /// <summary>Whether a client at that address may be a workload of the mesh.</summary>
    public bool MayBe(IPAddress address, Snapshot snapshot)
    {
        if (address.IsIPv4MappedToIPv6) address = address.MapToIPv4();
        return proved.ContainsKey(address) || snapshot.Ranges?.Workloads.Contains(address) == true || registered.Has(snapshot, address);
    }

    /// <summary>Somebody there has proved who he is.</summary>
    public void Proved(IPAddress address)
    {
        if (address.IsIPv4MappedToIPv6) address = address.MapToIPv4();
        if (proved.Count >= MostProved) proved.Clear();
        proved.TryAdd(address, 0);
    }
}
