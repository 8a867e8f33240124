using System.Collections.Immutable;
using Mesh.Sidecar.Balancing;

namespace Mesh.Sidecar.Config;

/// <summary>
/// An instance of a service as somebody reaches it who dials its own address: with the service's settings, at that very endpoint, and with the
/// identity of that instance where the control plane knows it first-hand. Immutable but for what is made when it is first called; thread safe.
/// </summary>
internal sealed class Instance(Cluster service, AppProtocol protocol, Endpoint endpoint, string identity)
{
    private ChainGroup? chains;
    private ClusterState? own;

    /// <summary>The service's cluster, without its endpoints.</summary>
    public Cluster Service => service;

    /// <summary>The endpoint as its cluster has it.</summary>
    public Endpoint Endpoint => endpoint;

    /// <summary>State of its own, when it was called and may not share its cluster's; the config builder disposes it when the instance is gone.</summary>
    public ClusterState? OwnState => Volatile.Read(ref own);

    /// <summary>
    /// The chains that serve a connection to it: by the service's protocol, by detection where that is not known. HTTP goes by a route that
    /// only forwards; a retry finds this endpoint again, since there is no other.
    /// </summary>
    public ChainGroup Chains => chains ??= MakeChains();

    private ChainGroup MakeChains()
    {
        var shares = ImmutableArray.Create(new WeightedCluster(service.Name, MakeCluster(), 1));
        var tcp = new FilterChain { Name = "instance", Tcp = new TcpProxyConfig { Clusters = shares, TotalWeight = 1 } };
        if (protocol == AppProtocol.Tcp) return new ChainGroup([tcp], null);
        var route = new Route
        {
            Name = "instance",
            Match = new RouteMatch { Kind = PathMatchKind.Prefix, Path = "" },
            Clusters = shares,
            TotalWeight = 1,
            Retry = RetryPolicy.Usual,
        };
        var host = new VirtualHost { Name = service.Service.Host, Routes = [route] };
        var http = new FilterChain
        {
            Name = "instance",
            ApplicationProtocols = protocol == AppProtocol.Unknown ? ["http/1.0", "http/1.1", "h2c"] : [],
            Http = new HttpConnectionManager { Routes = new RouteTable { Name = "instance", Hosts = [host], Any = 0 } },
        };
        return protocol == AppProtocol.Unknown ? new ChainGroup([http, tcp], null) { Detects = true } : new ChainGroup([http], null);
    }

    /// <summary>With the same expectations as its cluster it shares that one's connections and standing; else it has its own.</summary>
    private Cluster MakeCluster()
    {
        if (endpoint.Tls is not { } tls || tls.Only(identity) is not { } exact) return service.Of(endpoint, service.State);
        var state = new ClusterState();
        if (Interlocked.CompareExchange(ref own, state, null) is { } first) state = first;
        return service.Of(endpoint.With(exact), state);
    }
}

/// <summary>What the port of a service speaks, as far as it was declared.</summary>
internal enum AppProtocol
{
    /// <summary>Not declared: its first bytes tell.</summary>
    Unknown,

    /// <summary>HTTP of any version, gRPC included.</summary>
    Http,

    /// <summary>Bytes.</summary>
    Tcp,
}
