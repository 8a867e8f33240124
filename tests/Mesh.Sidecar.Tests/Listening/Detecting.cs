using System.Net;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Identity;
using Mesh.Sidecar.Listening;
using Mesh.Sidecar.Tests.Testbed;

namespace Mesh.Sidecar.Tests.Listening;

/// <summary>Listeners of undeclared protocol, as the control plane writes them.</summary>
internal static class Detecting
{
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    /// <summary>HTTP and bytes, both to one service.</summary>
    public static Listener Listener(IPEndPoint at, Cluster cluster, Direction direction = Direction.Outbound) => new()
    {
        Name = direction == Direction.Outbound ? "upstream|web" : "inbound|8080",
        Slot = 0,
        Address = at,
        Direction = direction,
        InspectsHttp = true,
        DetectTimeout = Patience,
        Chains = [Http(cluster)],
        DefaultChain = new FilterChain { Name = "tcp", Tcp = Bed.TcpTo(cluster) },
    };

    /// <summary>A port that takes mutual TLS, and plaintext beside it.</summary>
    public static Listener Permissive(IPEndPoint at, Cluster cluster) => new()
    {
        Name = "inbound|8080",
        Slot = 0,
        Address = at,
        Direction = Direction.Inbound,
        InspectsHttp = true,
        InspectsTls = true,
        DetectTimeout = Patience,
        Chains =
        [
            Pair.Chain("mtls-http1", Alpn.MeshHttp1) with { Http = new HttpConnectionManager { Routes = Bed.Table(cluster), Codec = HttpCodec.Http1 } },
            Pair.Chain("mtls-tcp", Alpn.MeshTcp) with { Tcp = Bed.TcpTo(cluster) },
            Http(cluster) with { TransportProtocol = Spoken.RawBuffer },
            new FilterChain { Name = "tcp", TransportProtocol = Spoken.RawBuffer, Tcp = Bed.TcpTo(cluster) },
            new FilterChain { Name = "tls-opaque", TransportProtocol = Spoken.Tls, Tcp = Bed.TcpTo(cluster) },
        ],
    };

    public static FilterChain Http(Cluster cluster) => new()
    {
        Name = "http",
        ApplicationProtocols = ["http/1.0", "http/1.1", "h2c"],
        Http = new HttpConnectionManager { Routes = Bed.Table(cluster) },
    };
}
