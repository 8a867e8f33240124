using Mesh.Sidecar.Balancing;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Identity;
using Mesh.Sidecar.Listening;
using Mesh.Sidecar.Resilience;
using Mesh.Sidecar.Telemetry;

namespace Mesh.Sidecar.Tcp;

/// <summary>The page of TCP: what happens to an opaque connection, in order. Stateless, any thread.</summary>
internal sealed class TcpProxy(Dialer dialer, TimeProvider time, Randomness random, PeerLabels self, TelemetrySink sink, Authorizer authorizer)
{
    private const int MostTries = 3;

    /// <summary>How long a connection may live; zero is for ever.</summary>
    public TimeSpan MaxAge { get; init; }

    /// <summary>Connects to where a connection would go, before its client has spoken; null when it may not go there or cannot. Nothing is told of that.</summary>
    public async Task<DialledAhead?> DialAheadAsync(ConnectionFacts connection, TcpProxyConfig config, CancellationToken cancel)
    {
        if (config.Authorization is { } rules && !Authorizer.WouldLet(rules, connection)) return null;
        if (WeightedChoice.Of(config.Clusters, config.TotalWeight, random)?.Cluster is not { } cluster) return null;
        var facts = FactsOf(connection, cluster);
        var dialled = await DialAsync(facts, cluster, connection, cancel);
        return dialled.Transport is { } upstream ? new DialledAhead(upstream, facts, config) : null;
    }

    /// <summary>Serves a connection of a TCP chain to its end, by the connection to the server that was made ahead if there is one.</summary>
    public async Task ServeAsync(ITransport client, ConnectionFacts connection, TcpProxyConfig config, DialledAhead? ahead = null)
    {
        var choice = WeightedChoice.Of(config.Clusters, config.TotalWeight, random);
        var facts = FactsOf(connection, choice?.Cluster);
        if (config.Authorization is { } rules && authorizer.Check(rules, connection) is { } denial)
        {
            client.Reset();
            Close(facts, Failure.AccessDenied, $"rbac_access_denied_matched_policy[{denial.Policy}]");
            return;
        }

        if (ahead?.Take(config) is { } made)
        {
            await CarryAsync(client, made, ahead.Facts, config.IdleTimeout);
            return;
        }

        var (upstream, failure, detail) = choice?.Cluster is { } cluster
            ? await DialAsync(facts, cluster, connection, CancellationToken.None)
            : new Dialled(null, Failure.NoCluster, $"cluster {choice?.Name} does not exist");
        if (upstream is null)
        {
            // The client must see that nothing was served: a reset says so, an orderly end does not.
            client.Reset();
            Close(facts, failure, detail);
            return;
        }

        await CarryAsync(client, upstream, facts, config.IdleTimeout);
    }

    /// <summary>What telemetry will know of a connection.</summary>
    public TcpFacts FactsOf(ConnectionFacts connection, Cluster? cluster) => new()
    {
        Direction = connection.Listener.Direction,
        Started = time.GetTimestamp(),
        Source = connection.Listener.Direction == Direction.Outbound ? self : connection.Caller,
        Destination = connection.Listener.Direction == Direction.Inbound ? ProvenLabels.Of(self, connection.Peer?.OwnUri) : PeerLabels.Unknown,
        Security = ProvenLabels.Inbound(connection.Listener.Direction, connection.Peer),
        Service = cluster?.Service ?? ServiceLabels.None,
        Cluster = cluster,
        DownstreamRemote = connection.Remote,
        DownstreamLocal = connection.Local,
    };

    /// <summary>Connects to an endpoint of the cluster, on refusal to another one: nothing was sent yet, so nothing can be sent twice.</summary>
    public async ValueTask<Dialled> ConnectAsync(TcpFacts facts, Cluster cluster, CancellationToken cancel = default)
    {
        var tried = new Endpoint?[MostTries];
        for (var number = 0; ; number++)
        {
            var endpoint = cluster.Balanced.Pick(cluster.Policy, cluster.State.NextCursor(), time.GetTimestamp(), random, tried);
            if (endpoint is null) return new(null, Failure.NoEndpoint, $"cluster {cluster.Name} has no healthy endpoint");
            facts.Endpoint = tried[number] = endpoint;
            var dial = new Dial(endpoint, dialer.TermsOf(endpoint), Carried.Tcp, facts.Direction, cluster.ConnectTimeout);
            var dialled = await dialer.ConnectAsync(dial, cancel);
            if (dialled.Transport is not null || dialled.Failure == Failure.Loop || number + 1 == MostTries || number + 1 >= cluster.Endpoints.Length)
                return dialled;
        }
    }

    private ValueTask<Dialled> DialAsync(TcpFacts facts, Cluster cluster, ConnectionFacts connection, CancellationToken cancel) =>
        cluster.Kind == ClusterKind.Passthrough ? PassAsync(facts, cluster, connection, cancel) : ConnectAsync(facts, cluster, cancel);

    /// <summary>Connects to where a captured connection was meant to go, whoever is there.</summary>
    private ValueTask<Dialled> PassAsync(TcpFacts facts, Cluster cluster, ConnectionFacts connection, CancellationToken cancel)
    {
        if (connection.Original is not { } original) return new(new Dialled(null, Failure.NoRoute, "the connection was made to this port itself: nothing tells where it is to go"));
        facts.Endpoint = OriginalEndpoint.Of(original, connection.ClientAddress);
        return dialer.ConnectAsync(new Dial(facts.Endpoint, null, Carried.Tcp, facts.Direction, cluster.ConnectTimeout), cancel);
    }

    /// <summary>Carries bytes both ways until both ends are done.</summary>
    public async Task CarryAsync(ITransport client, ITransport upstream, TcpFacts facts, TimeSpan idle)
    {
        ProvenLabels.Put(facts, self, upstream.Peer);
        facts.Endpoint!.Stats.Begin();
        sink.Own.UpstreamOpen.Add(1);
        sink.TcpOpened(facts);
        var (failure, detail) = (Failure.None, "");
        try
        {
            (failure, detail) = await new Tunnel(client, upstream, facts, new TunnelBounds(idle, MaxAge), time).RunAsync();
        }
        finally
        {
            facts.Endpoint.Stats.End();
            sink.Own.UpstreamOpen.Add(-1);
            Close(facts, failure, detail);
        }
    }

    /// <summary>Reports the end of a connection.</summary>
    public void Close(TcpFacts facts, Failure failure, string detail)
    {
        facts.Failure = failure;
        facts.FailureDetail = detail;
        facts.Ended = time.GetTimestamp();
        sink.TcpClosed(facts);
    }
}
