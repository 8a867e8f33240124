using System.Collections.Concurrent;
using System.Net;
using Mesh.Sidecar.Balancing;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Http.Upstream;

namespace Mesh.Sidecar.Http;

/// <summary>
/// Destinations outside the mesh, dialled as the request names them (PassthroughCluster). Their connections are pooled like others, for a
/// bounded number of destinations; those not asked for lately make room for others. Thread safe; lives as long as the data path.
/// </summary>
internal sealed class ForeignHosts(TimeProvider time)
{
    private const int MostKnown = 1000;
    private const int MostHops = 4;
    private static readonly TimeSpan RoomEvery = TimeSpan.FromSeconds(10);
    private readonly ConcurrentDictionary<(string Authority, ClusterState State), Known> known = new();
    private long roomMade = time.GetTimestamp();

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
        var now = time.GetTimestamp();
        if (known.TryGetValue(key, out var found))
        {
            found.LastUsed = now;
            return found.Cluster;
        }

        if (known.Count >= MostKnown) MakeRoom(now);
        // Beyond the bound a destination is dialled anew each time: slower, never refused, and nothing of it is kept.
        if (known.Count >= MostKnown) return Make(authority, passthrough, passing: true);
        return known.GetOrAdd(key, new Known(Make(authority, passthrough, passing: false)) { LastUsed = now }).Cluster;
    }

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
            Peer = PeerLabels.Unknown,
            Stats = new EndpointStats { Passing = passing },
        };
    }

    /// <summary>Forgets what was not asked for as long as its connections may wait. One thread at a time, and not for each request.</summary>
    private void MakeRoom(long now)
    {
        var last = Volatile.Read(ref roomMade);
        if (time.GetElapsedTime(last, now) < RoomEvery || Interlocked.CompareExchange(ref roomMade, now, last) != last) return;
        foreach (var (key, one) in known)
        {
            if (time.GetElapsedTime(one.LastUsed, now) >= Http1Pool.IdleBound) known.TryRemove(key, out _);
        }
    }

    private static Cluster Make(string authority, Cluster passthrough, bool passing) => new()
    {
        Name = passthrough.Name,
        Kind = ClusterKind.Endpoints,
        Policy = LbPolicy.RoundRobin,
        ConnectTimeout = passthrough.ConnectTimeout,
        Protocol = passthrough.Protocol,
        Endpoints = [EndpointFor(authority, 80, passing)],
        Service = passthrough.Service,
        Source = passthrough.Source,
        State = passthrough.State,
    };

    /// <summary>A destination; races of its timestamp do not matter.</summary>
    private sealed class Known(Cluster cluster)
    {
        private long lastUsed;

        public Cluster Cluster => cluster;

        public long LastUsed
        {
            get => Volatile.Read(ref lastUsed);
            set => Volatile.Write(ref lastUsed, value);
        }
    }
}
