using System.Collections.Immutable;
using System.Net;
using System.Net.Sockets;
using Mesh.Sidecar.Balancing;

namespace Mesh.Sidecar.Config;

/// <summary>
/// The addresses of a cluster's endpoints, each once, as bytes for answers about names: four bytes each of IPv4, sixteen of IPv6. Immutable.
/// </summary>
/// <param name="V4">Addresses of IPv4.</param>
/// <param name="V6">Addresses of IPv6.</param>
internal sealed record InstanceAddresses(byte[] V4, byte[] V6)
{
    /// <summary>Those of all endpoints, in their order.</summary>
    public static InstanceAddresses Of(IEnumerable<Endpoint> endpoints)
    {
        // Of its other addresses the first of the other family: a name means one address of each.
        var addresses = endpoints.SelectMany(e => e.More.Where(other => other.Address!.AddressFamily != e.Address?.AddressFamily).Take(1).Prepend(e))
            .Select(e => e.Address?.Address).OfType<IPAddress>()
            .Select(a => a.IsIPv4MappedToIPv6 ? a.MapToIPv4() : a).Distinct().ToList();
        return new InstanceAddresses(Bytes(AddressFamily.InterNetwork), Bytes(AddressFamily.InterNetworkV6));

        byte[] Bytes(AddressFamily family) => [.. addresses.Where(a => a.AddressFamily == family).SelectMany(a => a.GetAddressBytes())];
    }

    /// <summary>Those of the endpoints with this host name.</summary>
    public static InstanceAddresses Of(ImmutableArray<Endpoint> endpoints, string hostname) => Of(endpoints.Where(e => e.Hostname == hostname));
}
