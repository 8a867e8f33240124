using Mesh.Sidecar.Balancing;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Identity;
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
    private readonly List<HttpMessageInvoker> leaving = [];
    private readonly List<HttpMessageInvoker> gone = [];
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
        retirement = time.CreateTimer(_ => Tick(), null, RetireEvery, RetireEvery);
    }

    /// <summary>A call to the endpoint, ready to send; or why there is none.</summary>
    public ValueTask<Opened> OpenAsync(Exchange x, Cluster cluster, Endpoint endpoint, TryBound? bound)
    {
        var http2 = cluster.Protocol == UpstreamProtocol.Http2 || (cluster.Protocol == UpstreamProtocol.Downstream && x.Http2);
        var terms = dialer.TermsOf(endpoint);
        // Without terms a pool finds plaintext: a connection that waits there from before an identity was expected must not be used.
        if (Dialer.Lacks(endpoint, terms)) return new(new Opened(null, new CallResult(Failure.TlsFailure, Dialer.Uncertified(endpoint))));
        if (http2 && !x.WebSocket)
        {
            var clients = cluster.State.Http2(() => new Http2Clients(t => Http2Pool.Make(dialer, metrics, t, cluster.ConnectTimeout), Retire));
            return new(new Opened(new Http2Call(clients.On(terms), endpoint, terms is not null), CallResult.Ok));
        }

        var pool = endpoint.Stats.Connections(makePool);
        var idle = pool.TryTake(terms);
        if (idle is not null) return new(new Opened(idle, CallResult.Ok));
        return ConnectAsync(x, pool, new Dial(endpoint, terms, Carried.Http1, x.Facts.Direction, cluster.ConnectTimeout), bound);
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
        Tick();
        Tick();
    }

    /// <summary>
    /// Takes an HTTP/2 client that gets no requests any more. It is disposed at the second tick from now: whoever had it in hand has sent by then,
    /// and what runs on its connections runs to its end.
    /// </summary>
    private void Retire(HttpMessageInvoker client)
    {
        lock (gate) leaving.Add(client);
    }

    private void Tick()
    {
        if (!disposed) Retire(Http1Pool.IdleBound);
        lock (gate)
        {
            foreach (var client in gone) client.Dispose();
            gone.Clear();
            gone.AddRange(leaving);
            leaving.Clear();
        }
    }

    /// <summary>Closes connections that have been idle for that long.</summary>
    private void Retire(TimeSpan olderThan)
    {
        lock (gate) waiting.RemoveAll(pool => pool.Retire(olderThan));
    }

    private static async ValueTask<Opened> ConnectAsync(
        Exchange x, Http1Pool pool, Dial dial, TryBound? bound)
    {
        // Not disposed, it holds nothing: a timer that fires as the connect ends may still cancel it, and must not fail.
        var cancel = new CancellationTokenSource();
        bound?.Now(cancel);
        try
        {
            if (!x.Running(cancel)) return new(null, new CallResult(x.Stopped));
            return await pool.ConnectAsync(dial, cancel.Token);
        }
        catch (OperationCanceledException)
        {
            return new(null, new CallResult(x.Stopped == Failure.None ? Failure.TryTimeout : x.Stopped, $"while connecting to {dial.Endpoint.Authority}"));
        }
        finally
        {
            x.Running(null);
        }
    }
}
