using System.Collections.Immutable;
using Mesh.Sidecar.Balancing;
using Mesh.Sidecar.Resilience;

namespace Mesh.Sidecar.Config;

/// <summary>A cluster with its endpoints, as of one snapshot. Immutable, but for <see cref="State"/>.</summary>
public sealed class Cluster
{
    private EndpointSet? balanced;
    private InstanceAddresses? addresses;

    /// <summary>Name of the xDS resource, <c>outbound|80||web.default.svc.cluster.local</c>.</summary>
    public required string Name { get; init; }

    /// <summary>How endpoints are found.</summary>
    public required ClusterKind Kind { get; init; }

    /// <summary>Balancing policy.</summary>
    public required LbPolicy Policy { get; init; }

    /// <summary>Bound of connecting, handshakes included.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>HTTP version towards the endpoints.</summary>
    public UpstreamProtocol Protocol { get; init; }

    /// <summary>Endpoints that may get traffic (UNKNOWN or HEALTHY), by priority, then as given.</summary>
    public required ImmutableArray<Endpoint> Endpoints { get; init; }

    /// <summary>The same endpoints, arranged for picking. Made on first use.</summary>
    public EndpointSet Balanced => balanced ??= new EndpointSet(Endpoints.AsSpan());

    /// <summary>Their addresses, for name resolution. Made on first use.</summary>
    internal InstanceAddresses Addresses => addresses ??= InstanceAddresses.Of(Endpoints);

    /// <summary>The service behind it, for labels; <see cref="ServiceLabels.None"/> for local and foreign ones.</summary>
    public required ServiceLabels Service { get; init; }

    /// <summary>Where it was written, for error texts; empty when unknown.</summary>
    public string Source { get; init; } = "";

    /// <summary>What outlives snapshots: round-robin position, retry budget, connection pool. Kept while name and settings stay equal.</summary>
    public required ClusterState State { get; init; }

    /// <summary>The same without endpoints.</summary>
    public Cluster Bare() => With([], State);

    /// <summary>A cluster with these settings and nothing but one endpoint.</summary>
    public Cluster Of(Endpoint endpoint, ClusterState state) => With([endpoint], state);

    private Cluster With(ImmutableArray<Endpoint> endpoints, ClusterState state) => new()
    {
        Name = Name,
        Kind = ClusterKind.Endpoints,
        Policy = LbPolicy.RoundRobin,
        ConnectTimeout = ConnectTimeout,
        Protocol = Protocol,
        Endpoints = endpoints,
        Service = Service,
        Source = Source,
        State = state,
    };
}

/// <summary>How a cluster's endpoints are found.</summary>
public enum ClusterKind
{
    /// <summary>In the cluster itself (STATIC) or by EDS.</summary>
    Endpoints,

    /// <summary>The destination the request names (ORIGINAL_DST): unknown hosts pass through.</summary>
    Passthrough,
}

/// <summary>HTTP version towards endpoints.</summary>
public enum UpstreamProtocol
{
    /// <summary>HTTP/1.1.</summary>
    Http1,

    /// <summary>HTTP/2 by prior knowledge.</summary>
    Http2,

    /// <summary>What the client spoke (use_downstream_protocol_config).</summary>
    Downstream,
}

/// <summary>Labels of a destination service.</summary>
/// <param name="Host"><c>web.default.svc.cluster.local</c>.</param>
/// <param name="Name">Short name.</param>
/// <param name="Namespace">Namespace.</param>
/// <param name="Port">Service port.</param>
public sealed record ServiceLabels(string Host, string Name, string Namespace, int Port)
{
    /// <summary>No service of the mesh.</summary>
    public static ServiceLabels None { get; } = new("unknown", "unknown", "unknown", 0);
}

/// <summary>
/// Mutable state of a cluster, owned by the config builder's registry and carried from snapshot to snapshot.
/// Thread safe. The HTTP layer hangs its connection pool here, so that a request finds it without a lookup.
/// </summary>
public sealed class ClusterState : IDisposable
{
    private int cursor = -1;
    private IDisposable? http2;

    /// <summary>Requests and retries in flight on the cluster.</summary>
    public RetryBudget Budget { get; } = new();

    /// <summary>Next position of round robin.</summary>
    public uint NextCursor() => (uint)Interlocked.Increment(ref cursor);

    /// <summary>The HTTP/2 connections of the cluster, made on first use. HTTP/1.1 connections hang on each endpoint's stats.</summary>
    public T Http2<T>(Func<T> make)
        where T : class, IDisposable
    {
        if (Volatile.Read(ref http2) is T ready) return ready;
        var made = make();
        if (Interlocked.CompareExchange(ref http2, made, null) is not T winner) return made;
        made.Dispose();
        return winner;
    }

    /// <summary>Ends idle connections; those in use end with their requests.</summary>
    public void Dispose() => http2?.Dispose();
}
