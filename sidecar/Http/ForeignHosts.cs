using System.Net;
using Mesh.Sidecar.Balancing;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Http.Upstream;

namespace Mesh.Sidecar.Http;

/// <summary>
/// Destinations outside the mesh, dialled as the request names them (PassthroughCluster). Thread safe; lives as long as the data path.
/// </summary>
internal sealed class ForeignHosts(TimeProvider time)
{
    private const int MostHops = 4;
    private readonly BoundedClusters<(string Authority, ClusterState State)> clusters = new(time);

    /// <summary>Why a request may not go to a foreign host, or null. Only clients that take us for their proxy are passed on.</summary>
    public CallResult? Check(Exchange x)
    {
        if (!x.AbsoluteForm && x.Connection.Original is null) return new CallResult(Failure.NoRoute, $"no service answers to the host '{x.Facts.Authority}'");
        if (x.Connection is { Original: { } original, MayPassOn: false })
            return new CallResult(Failure.UnknownDestination, $"no service answers to the host '{x.Facts.Authority}', and it is not known that {original} is outside of the mesh");
        if (x.AbsoluteForm && x.Connection.Original is not null) return new CallResult(Failure.NoRoute, $"the connection was captured on its way to {x.Connection.Original}: a proxy's requests cannot follow requests to '{x.Facts.Authority}' on it");
        if (x.Hops >= MostHops) return new CallResult(Failure.Loop, $"the request came through {x.Hops} sidecars that did not know the host '{x.Facts.Authority}'");
        return null;
    }

    /// <summary>A cluster of the one endpoint the authority names.</summary>
    public Cluster ClusterFor(string authority, Cluster passthrough) =>
        clusters.Of((authority, passthrough.State), (key, passing) => passthrough.Of(EndpointFor(key.Authority, 80, passing), passthrough.State));

    /// <summary>The endpoint an authority names.</summary>
    public static Endpoint EndpointFor(string authority, int defaultPort, bool passing = true)
    {
        RequestTarget.TrySplit(authority, out var host, out var port);
        if (port < 0) port = defaultPort;
        var name = host.Trim("[]").ToString();
        var address = IPAddress.TryParse(name, out var ip) ? new IPEndPoint(ip, port) : null;
        return new Endpoint
        {
            Host = name,
            Port = port,
            Authority = $"{host}:{port}",
            Address = address,
            IsForeign = true,
            Peer = PeerLabels.Unknown,
            Stats = new EndpointStats { Passing = passing },
        };
    }
}
