using System.Runtime.CompilerServices;
using Mesh.Sidecar.Balancing;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Http.Upstream;
using Mesh.Sidecar.Resilience;
using Mesh.Sidecar.Telemetry;

namespace Mesh.Sidecar.Http;

/// <summary>
/// The ONE place where a request is tried, and tried again: pick an endpoint, send, classify, maybe once more on another one.
/// Stateless but for what hangs on clusters and endpoints; thread safe.
/// </summary>
internal sealed class Attempts(UpstreamConnections connections, TimeProvider time, Randomness random, SidecarMetrics metrics)
{
    private const int MostTries = 16;

    /// <summary>
    /// Sends the request until an endpoint answers or the rule's tries are used up. On success the call is open: its body is to be copied,
    /// then it is to be closed, and the endpoint's stats are to be told.
    /// </summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<Opened> RunAsync(Exchange x, Route route, Cluster cluster)
    {
        var retry = route.Retry;
        var most = Math.Min(1 + retry.MaxRetries, MostTries);
        // Outbound, a peer's sidecar may take the body and then find its application gone.
        if (most > 1 && (retry.SendsBodyAgain || x.Facts.Direction == Direction.Outbound)) x.Body.Keep();
        var tried = default(Tried);
        var budgeted = false;
        var untouched = true;
        try
        {
            for (var number = 1; ; number++)
            {
                var endpoint = cluster.Balanced.Pick(cluster.Policy, cluster.State.NextCursor(), time.GetTimestamp(), random, tried[..(number - 1)]);
                if (endpoint is null) return new(null, new CallResult(Failure.NoEndpoint, $"cluster {cluster.Name} has no healthy endpoint"));
                tried[number - 1] = endpoint;
                var (call, result) = await TryAsync(x, route, cluster, endpoint);
                untouched &= result.NothingProcessed;
                if (number == most || x.Stopped != Failure.None || !MaySendAgain(x, call) || !IsWorthRetrying(retry, call, result))
                    return new(call, number == most && number > 1 ? Exhausted(call, result, number, untouched) : result);
                if (!budgeted && !(budgeted = cluster.State.Budget.TryRetry()))
                {
                    metrics.RetriesOverBudget.Add();
                    return new(call, result);
                }

                x.Running(null);
                if (call is not null) await GiveUpAsync(call, endpoint);
                // Until the try was ended its body went on, perhaps beyond what is kept.
                if (!x.Body.Rewindable) return new(null, new CallResult(Failure.UpstreamReset, $"{endpoint.Authority} refused the request, and its body is too large to send again"));
                metrics.Retries.Add();
                x.Body.Rewind();
                await Task.Delay(Backoff.FullJitter(number, retry.BackoffBase, retry.BackoffMax, random), time, CancellationToken.None);
                if (x.Stopped != Failure.None) return new(null, new CallResult(x.Stopped));
            }
        }
        finally
        {
            if (budgeted) cluster.State.Budget.RetryEnds();
        }
    }

    /// <summary>While an answer is there already, the body may still be on its way: what is read of it then might not be kept.</summary>
    private static bool MaySendAgain(Exchange x, IUpstreamCall? call) =>
        x.Body.Rewindable && (call is null || x.Body.Ended || x.BodyLength is >= 0 and <= RequestBody.MostKept);

    private static bool IsWorthRetrying(RetryPolicy policy, IUpstreamCall? call, in CallResult result)
    {
        if (call is not null && RetriesStatus(policy, call.Status)) return true;
        var always = Failures.Of(result.Failure).Retryable;
        if (always != RetryOn.None) always |= RetryOn.ServerErrors | RetryOn.GatewayErrors;
        return (policy.On & (always | result.Untouched)) != RetryOn.None;
    }

    private static bool RetriesStatus(RetryPolicy policy, int status) =>
        (policy.On.HasFlag(RetryOn.StatusCodes) && policy.StatusCodes.AsSpan().BinarySearch(status) >= 0)
        || (policy.On.HasFlag(RetryOn.ServerErrors) && status >= 500)
        || (policy.On.HasFlag(RetryOn.GatewayErrors) && status is 502 or 503 or 504);

    private static CallResult Exhausted(IUpstreamCall? call, in CallResult result, int tries, bool untouched) =>
        call is null && result.Failure is Failure.ConnectFailure or Failure.ConnectTimeout or Failure.TlsFailure or Failure.UpstreamClosed or Failure.UpstreamReset
            ? new CallResult(Failure.RetriesExhausted, $"{tries} tries failed, the last one: {result.Detail}", untouched ? RetryOn.ConnectFailure : RetryOn.None)
            : result;

    private static async ValueTask GiveUpAsync(IUpstreamCall call, Endpoint endpoint)
    {
        call.Abort();
        await call.CloseAsync();
        endpoint.Stats.End();
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<Opened> TryAsync(Exchange x, Route route, Cluster cluster, Endpoint endpoint)
    {
        x.Facts.Endpoint = endpoint;
        x.Facts.Attempts++;
        endpoint.Stats.Begin();
        var started = time.GetTimestamp();
        using var bound = route.Retry.PerTryTimeout > TimeSpan.Zero ? new TryBound(route.Retry.PerTryTimeout, time) : null;
        var (call, result) = await connections.OpenAsync(x, cluster, endpoint, bound);
        if (call is not null)
        {
            bound?.Now(call);
            result = x.Running(call) ? await call.SendAsync(x) : new CallResult(x.Stopped);
            if (result.Failure == Failure.None)
            {
                x.Facts.UpstreamTicks = time.GetTimestamp() - started;
                return new(call, Heard(x, call, endpoint));
            }

            x.Running(null);
            await call.CloseAsync();
        }

        endpoint.Stats.End();
        if (x.Stopped != Failure.None) return new(null, new CallResult(x.Stopped, result.Detail));
        return new(null, bound is { Fired: true } ? new CallResult(Failure.TryTimeout, $"{endpoint.Authority} did not answer in {route.Retry.PerTryTimeout}") : result);
    }

    /// <summary>
    /// What an answer says of its endpoint: an inbound sidecar whose application is gone is as good as a refused connection. Anybody could say so,
    /// and see the request sent again: believed is who proved to be the sidecar that was expected.
    /// </summary>
    private CallResult Heard(Exchange x, IUpstreamCall call, Endpoint endpoint)
    {
        if (!call.IsProven || call.Headers.Find(FieldRules.Untouched) is null)
        {
            endpoint.Stats.Accepted();
            return CallResult.Ok;
        }

        if (endpoint.Stats.Refused(time, random)) metrics.Ejections.Add();
        return new CallResult(Failure.None, "", RetryOn.ConnectFailure);
    }

    [InlineArray(MostTries)]
    private struct Tried
    {
        private Endpoint? first;
    }
}
