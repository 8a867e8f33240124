using System.Net;
using Mesh.Sidecar.Balancing;

namespace Mesh.Sidecar.Tcp;

/// <summary>The endpoint of a connection that goes on to where it was meant to go (ORIGINAL_DST): nobody balances it, nothing of it is kept. Stateless.</summary>
internal static class OriginalEndpoint
{
    /// <summary>The endpoint at an address, called as <paramref name="client"/> when that is not null.</summary>
    public static Endpoint Of(IPEndPoint address, IPAddress? client, bool passing = true) => new()
    {
        Host = address.Address.ToString(),
        Port = address.Port,
        Authority = address.ToString(),
        Address = address,
        ClientAddress = client,
        Peer = PeerLabels.Unknown,
        Stats = new EndpointStats { Passing = passing },
    };
}
