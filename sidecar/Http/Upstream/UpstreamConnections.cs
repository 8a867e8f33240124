using Mesh.Sidecar.Balancing;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Tcp;
using Mesh.Sidecar.Telemetry;

namespace Mesh.Sidecar.Http.Upstream;

/// <summary>
/// Opens calls: finds the pool that hangs on the endpoint, or the cluster, and connects when nothing waits there. Also retires idle
/// connections, on one timer for all pools: it holds each pool in which a connection waits, also when no snapshot leads to it any more, and
/// lets go of it when it is empty. Thread safe; owned by the data path.
/// </summary>
internal sealed class UpstreamConnections : IDisposable
{
    private static readonly TimeSpan RetireEvery = TimeSpan.FromSeconds(10);
    private readonly List<Http1Pool> waiting = [];
    private readonly Lock gate = new();
    private readonly Func<EndpointStats, Http1Pool> makePool;
    private readonly Dialer dialer;
    private readonly SidecarMetrics metrics;
    private readonly ITimer retirement;
    private bool disposed;

    /// <summary>Begins to retire idle connections.</summary>
    public UpstreamConnections(TimeProvider time, Dialer dialer, SidecarMetrics metrics)
    {
        this.dialer = dialer;
        this.metrics = metrics;
        makePool = stats => new Http1Pool(time, dialer, metrics, this) { Keeps = !stats.Passing };
        retirement = time.CreateTimer(_ => Retire(Http1Pool.IdleBound), null, RetireEvery, RetireEvery);
    }

    /// <summary>A call to the endpoint, ready to send; or why there is none.</summary>
    public ValueTask<(IUpstreamCall? Call, CallResult Result)> OpenAsync(Exchange x, Cluster cluster, Endpoint endpoint, TryBound? bound)
    {
        var http2 = cluster.Protocol == UpstreamProtocol.Http2 || (cluster.Protocol == UpstreamProtocol.Downstream && x.Http2);
        if (http2 && !x.WebSocket)
        {
            var client = cluster.State.Http2(() => Http2Pool.Make(dialer, metrics, cluster.ConnectTimeout));
            return new((new Http2Call(client, endpoint), CallResult.Ok));
        }

        var pool = endpoint.Stats.Connections(makePool);
        var idle = pool.TryTake();
        return idle is not null ? new((idle, CallResult.Ok)) : ConnectAsync(x, pool, cluster, endpoint, bound);
    }

    /// <summary>Takes charge of a pool in which a connection waits, until it is empty. Called by the pool, once for each such time.</summary>
    public void Own(Http1Pool pool)
    {
        lock (gate)
        {
            if (!disposed) waiting.Add(pool);
            else pool.Retire(TimeSpan.Zero);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        retirement.Dispose();
        lock (gate) disposed = true;
        Retire(TimeSpan.Zero);
    }

    /// <summary>Closes connections that have been idle for that long.</summary>
    private void Retire(TimeSpan olderThan)
    {
        lock (gate) waiting.RemoveAll(pool => pool.Retire(olderThan));
    }

    private static async ValueTask<(IUpstreamCall? Call, CallResult Result)> ConnectAsync(
        Exchange x, Http1Pool pool, Cluster cluster, Endpoint endpoint, TryBound? bound)
    {
        // Not disposed, it holds nothing: a timer that fires as the connect ends may still cancel it, and must not fail.
        var cancel = new CancellationTokenSource();
        bound?.Now(cancel);
        try
        {
            if (!x.Running(cancel)) return (null, new CallResult(x.Stopped));
            return await pool.ConnectAsync(endpoint, x.Facts.Direction, cluster.ConnectTimeout, cancel.Token);
        }
        catch (OperationCanceledException)
        {
            return (null, new CallResult(x.Stopped == Failure.None ? Failure.TryTimeout : x.Stopped, $"while connecting to {endpoint.Authority}"));
        }
        finally
        {
            x.Running(null);
        }
    }
}
