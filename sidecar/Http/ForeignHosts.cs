using System.Collections.Concurrent;
using System.Net;
using Mesh.Sidecar.Balancing;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Http.Upstream;

namespace Mesh.Sidecar.Http;

/// <summary>
/// Destinations outside the mesh, dialled as the request names them (PassthroughCluster). Their connections are pooled like others, for a
/// bounded number of destinations. Thread safe.
/// </summary>
internal sealed class ForeignHosts
{
    private const int MostKnown = 1000;
    private const int MostHops = 4;
    private readonly ConcurrentDictionary<(string Authority, ClusterState State), Cluster> known = new();

    /// <summary>Why a request may not go to a foreign host, or null. Only clients that take us for their proxy are passed on.</summary>
    public CallResult? Check(Exchange x)
    {
        if (!x.AbsoluteForm) return new CallResult(Failure.NoRoute, $"no service answers to the host '{x.Facts.Authority}'");
        if (x.Hops >= MostHops) return new CallResult(Failure.Loop, $"the request came through {x.Hops} sidecars that did not know the host '{x.Facts.Authority}'");
        return null;
    }

    /// <summary>A cluster of the one endpoint the authority names.</summary>
    public Cluster ClusterFor(string authority, Cluster passthrough)
    {
        var key = (authority, passthrough.State);
        if (known.TryGetValue(key, out var cluster)) return cluster;
        var made = Make(authority, passthrough);
        // Beyond the bound a destination is dialled anew each time: slower, never refused.
        return known.Count < MostKnown ? known.GetOrAdd(key, made) : made;
    }

    /// <summary>The endpoint an authority names.</summary>
    public static Endpoint EndpointFor(string authority, int defaultPort)
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
            Peer = PeerLabels.Unknown,
            Stats = new EndpointStats(),
        };
    }

    private static Cluster Make(string authority, Cluster passthrough) => new()
    {
        Name = passthrough.Name,
        Kind = ClusterKind.Endpoints,
        Policy = LbPolicy.RoundRobin,
        ConnectTimeout = passthrough.ConnectTimeout,
        Protocol = passthrough.Protocol,
        Endpoints = [EndpointFor(authority, 80)],
        Service = passthrough.Service,
        Source = passthrough.Source,
        State = passthrough.State,
    };
}
