using Mesh.Sidecar.Balancing;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Tcp;
using Mesh.Sidecar.Telemetry;

namespace Mesh.Sidecar.Http.Upstream;

/// <summary>
/// Opens calls: finds the pool that hangs on the endpoint, or the cluster, and connects when nothing waits there. Also retires idle
/// connections, on one timer for all pools. Thread safe; owned by the data path.
/// </summary>
internal sealed class UpstreamConnections : IDisposable
{
    private static readonly TimeSpan RetireEvery = TimeSpan.FromSeconds(10);
    private readonly List<WeakReference<Http1Pool>> pools = [];
    private readonly Lock gate = new();
    private readonly Func<EndpointStats, Http1Pool> makePool;
    private readonly TimeProvider time;
    private readonly Dialer dialer;
    private readonly SidecarMetrics metrics;
    private readonly ITimer retirement;

    /// <summary>Begins to retire idle connections.</summary>
    public UpstreamConnections(TimeProvider time, Dialer dialer, SidecarMetrics metrics)
    {
        this.time = time;
        this.dialer = dialer;
        this.metrics = metrics;
        makePool = _ => NewPool();
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
        var waiting = pool.TryTake();
        return waiting is not null ? new((waiting, CallResult.Ok)) : ConnectAsync(x, pool, cluster, endpoint, bound);
    }

    /// <summary>Closes connections that have been idle for that long.</summary>
    public void Retire(TimeSpan olderThan)
    {
        lock (gate)
        {
            pools.RemoveAll(reference => !reference.TryGetTarget(out _));
            foreach (var reference in pools)
            {
                if (reference.TryGetTarget(out var pool)) pool.Retire(olderThan);
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        retirement.Dispose();
        Retire(TimeSpan.Zero);
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

    private Http1Pool NewPool()
    {
        var pool = new Http1Pool(time, dialer, metrics);
        lock (gate) pools.Add(new WeakReference<Http1Pool>(pool));
        return pool;
    }
}
