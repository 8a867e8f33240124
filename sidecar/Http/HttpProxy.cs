using System.Runtime.CompilerServices;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Http.Upstream;
using Mesh.Sidecar.Resilience;
using Mesh.Sidecar.Tcp;
using Mesh.Sidecar.Telemetry;

namespace Mesh.Sidecar.Http;

/// <summary>
/// The page of HTTP: what happens to a request, in order. Everything it needs is in the snapshot it captures once; nothing below reads the
/// store again. A refusal anywhere is a <see cref="Failure"/> and skips to the answer. Stateless, any thread.
/// </summary>
internal sealed class HttpProxy(Snapshots snapshots, HttpProxyParts parts, TimeProvider time, Randomness random, TelemetrySink sink)
{
    /// <summary>Serves one request.</summary>
    public async Task ServeAsync(Exchange x)
    {
        sink.Own.RequestsActive.Add(1);
        var gone = x.Lifetime.RequestAborted.UnsafeRegister(static state => ((Exchange)state!).StopNow(Failure.ClientGone), x);
        try
        {
            var result = Admit(x, out var route, out var cluster);
            if (result.Failure == Failure.None && route!.DirectStatus > 0) await Refusal.AnswerDirectlyAsync(x, route.DirectStatus, route.DirectBody);
            else if (result.Failure == Failure.None) result = await ForwardAsync(x, route!, cluster!);
            if (result.Failure != Failure.None) await Refusal.AnswerAsync(x, result);
        }
        catch (Exception e) when (x.Stopped != Failure.None || e is OperationCanceledException or IOException)
        {
            await Refusal.AnswerAsync(x, new CallResult(x.Stopped == Failure.None ? Failure.ClientGone : x.Stopped));
        }
        catch (Exception e)
        {
            parts.Log.Error("a request failed by a fault of the sidecar", ("request", x.Facts.RequestId), ("error", e));
            await Refusal.AnswerAsync(x, new CallResult(Failure.Internal, "a fault of the sidecar"));
        }
        finally
        {
            await gone.DisposeAsync();
            Observe(x);
        }
    }

    /// <summary>All that is decided before anything is sent: 1 is it sound, 2 who may send it, 3 which route, 4 which cluster, 5 what we add.</summary>
    private CallResult Admit(Exchange x, out Route? route, out Cluster? cluster)
    {
        route = null;
        cluster = null;
        var snapshot = snapshots.Current;
        var listener = x.Connection.In(snapshot);
        var chain = x.Connection.ChainIn(snapshot);

        if (RequestRules.Read(x) is { } wrong)
        {
            sink.Own.RefusedRequests.Add();
            return new CallResult(Failure.BadRequest, wrong);
        }

        x.Facts.Source = listener.Direction == Direction.Outbound ? parts.Self : parts.Sources.Of(x.MeshSource, x.Connection);
        if (chain?.Http is not { } manager) return new CallResult(Failure.NoRoute, $"listener {listener.Name} does not serve HTTP");

        x.IdleBound = manager.StreamIdleTimeout;
        RequestRules.AddCaller(x, manager.ClientCert);
        if (manager.Authorization is { } rules && parts.Access.Check(x, rules, listener) is { Failure: not Failure.None } refused) return refused;

        route = RouteChoice.Find(x, manager.Routes, out var missing);
        x.Facts.Route = route;
        if (route is null) return new CallResult(Failure.NoRoute, missing);
        x.Facts.Span = Spans.Start(x.Facts.Direction, x.Facts.Method, x.Facts.TraceParent, x.Headers.Find("tracestate"));
        if (route.DirectStatus > 0) return CallResult.Ok;

        var choice = WeightedChoice.Of(route.Clusters, route.TotalWeight, random);
        cluster = choice?.Cluster;
        x.Facts.Cluster = cluster;
        if (choice is null) return new CallResult(Failure.InvalidBackend, "the route has no backend");
        if (cluster is null) return new CallResult(Failure.NoCluster, $"the route's backend {choice.Name} does not exist");
        x.Facts.Service = cluster.Service;
        var foreign = cluster.Kind == ClusterKind.Passthrough && listener.Direction == Direction.Outbound;
        if (foreign && parts.Foreign.Check(x) is { } refusal) return refusal;

        RequestRules.AddOwn(x, parts.Identifiers, listener.Direction == Direction.Outbound ? parts.SourceField : null, foreign);
        return CallResult.Ok;
    }

    /// <summary>6 try endpoints until one answers, 7 head of the answer, 8 its body, 9 its trailers.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<CallResult> ForwardAsync(Exchange x, Route route, Cluster cluster)
    {
        var target = cluster.Kind == ClusterKind.Passthrough ? PassingOn(x, cluster) : cluster;
        using var bound = route.Timeout > TimeSpan.Zero ? new RequestBound(x, route.Timeout, time) : null;
        using var idle = x.IdleBound > TimeSpan.Zero ? new IdleBound(x, x.IdleBound, time) : null;
        target.State.Budget.RequestBegins();
        try
        {
            var (call, result) = await parts.Attempts.RunAsync(x, route, target);
            if (call is null) return result;
            try
            {
                return await AnswerAsync(x, call);
            }
            finally
            {
                x.Running(null);
                await call.CloseAsync();
                x.Facts.Endpoint!.Stats.End();
            }
        }
        finally
        {
            target.State.Budget.RequestEnds();
        }
    }

    /// <summary>Where a captured connection was meant to go, else where the request says.</summary>
    private Cluster PassingOn(Exchange x, Cluster cluster) =>
        x.Connection.Original is null ? parts.Foreign.ClusterFor(x.Facts.Authority, cluster) : parts.Pinned.ClusterFor(x.Connection, cluster);

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<CallResult> AnswerAsync(Exchange x, IUpstreamCall call)
    {
        ResponseRules.Copy(call, x);
        // What a client sent behind a request for a tunnel that was refused was not meant as a request.
        if (x.Connection.IsDraining || (x.WebSocket && call.Status != 101)) x.CloseAfterwards();
        x.Facts.Status = call.Status;
        if (call.Status == 101) return await TunnelAsync(x, call);
        if (!call.IsHeadOnly) await x.StartResponseAsync();
        var result = await call.CopyBodyAsync(x.ResponseBody, x);
        if (result.Failure == Failure.None && !ResponseRules.CopyTrailers(call, x)) sink.Own.DroppedTrailers.Add();
        if (x.RequestTrailers is not null) sink.Own.DroppedTrailers.Add();
        return result;
    }

    /// <summary>The bound of silence is that of TCP, where no rule sets one: what is tunnelled has no requests that could end.</summary>
    private async ValueTask<CallResult> TunnelAsync(Exchange x, IUpstreamCall call)
    {
        using var idle = x.IdleBound > TimeSpan.Zero ? null : new IdleBound(x, Tunnel.UsualIdle, time);
        var result = await call.TunnelAsync(await x.Upgrade!.UpgradeAsync(), x);
        return x.Stopped == Failure.StreamIdle ? new CallResult(x.Stopped, "no byte in either direction for too long") : result;
    }

    private void Observe(Exchange x)
    {
        x.Facts.Ended = time.GetTimestamp();
        ProvenLabels.Put(x.Facts, x.Connection.Peer, parts.Self);
        x.Facts.RequestBytes += x.Body.Consumed;
        sink.Own.RequestsActive.Add(-1);
        sink.Request(x.Facts);
        x.End();
    }
}
