using System.Net;
using Envoy.Service.Discovery.V3;
using Mesh.Api.Grpc;
using Mesh.Api.Logging;
using Mesh.Api.Operators;
using Mesh.ControlPlane.Compilation;

namespace Mesh.ControlPlane.Xds;

/// <summary>
/// One connected node: feeds a <see cref="StreamState"/> from the wire and from the <see cref="ConfigFeed"/>, and writes what it says.
/// One reader and one writer loop, both ended with the stream. A slow client holds at most one response; the newest configuration
/// replaces what it has not been sent.
/// </summary>
internal sealed class AdsStream : IDisposable
{
    /// <summary>How long a client may take nothing of a response before its stream is ended.</summary>
    public static readonly TimeSpan StuckAfter = TimeSpan.FromSeconds(20);

    private const int MostNames = 20_000;
    private readonly Lock gate = new();
    private readonly StreamState state;
    private readonly AdsServices services;
    private readonly RequestBudget budget;
    private readonly Wakeup wakeup = new();
    private readonly Log log;
    private readonly Withholding withholding;
    private readonly Envoy.Config.Core.V3.ControlPlane controlPlane;
    private ConfigFeed.Config? seen;
    private long? changedSince;

    /// <summary>A stream for a node that has said who it is.</summary>
    public AdsStream(NodeDescription node, string id, AdsServices services)
    {
        (Node, this.services, state) = (node, services, new StreamState(id));
        budget = new RequestBudget(services.Time);
        withholding = new Withholding(services.Time);
        ConnectedSince = services.Time.GetUtcNow();
        log = services.Log;
        controlPlane = new Envoy.Config.Core.V3.ControlPlane { Identifier = services.Replica };
    }

    /// <summary>Who is connected.</summary>
    public NodeDescription Node { get; }

    /// <summary>Version of the world by which it was let in; older ones may not know yet what it may.</summary>
    public long AdmittedAt { get; init; }

    /// <summary>Who holds the certificate of its connection; null where there is none, or it was not issued here.</summary>
    public string? Holder { get; init; }

    /// <summary>The address its connection comes from; null where it has none.</summary>
    public IPAddress? SeenAt { get; init; }

    /// <summary>Since when.</summary>
    public DateTimeOffset ConnectedSince { get; }

    /// <summary>The names the node asked for of a type, as of now.</summary>
    public IReadOnlyList<string> NamesOf(ResourceKind kind)
    {
        lock (gate) return [.. state.Subscriptions.FirstOrDefault(s => s.Kind == kind)?.Names ?? []];
    }

    /// <summary>Whether the node has acknowledged this very set.</summary>
    public bool HasAcknowledged(ResourceKind kind, ResourceSet set)
    {
        lock (gate) return state.Subscriptions.FirstOrDefault(s => s.Kind == kind)?.Acked == set.Version;
    }

    /// <summary>Whether the node may not have taken this very set yet; false for a type it never asked for.</summary>
    public bool Lags(ResourceKind kind, ResourceSet set)
    {
        lock (gate) return state.Subscriptions.FirstOrDefault(s => s.Kind == kind) is { } subscription && !subscription.IsSettled(set);
    }

    /// <summary>What the node was sent and what it said to it, as of now.</summary>
    public IReadOnlyList<SubscriptionStatus> Subscriptions()
    {
        lock (gate)
        {
            return [.. state.Subscriptions.Select(s => new SubscriptionStatus
            {
                Type = s.Kind.ShortName,
                Resources = s.Last?.Resources.Length ?? 0,
                Sent = s.Last?.Version ?? "",
                SentAt = s.Last?.At,
                Acked = s.Acked,
                Nacked = s.Nacked,
                Error = s.Error,
                NackedAt = s.NackedAt,
            })];
        }
    }

    /// <summary>The server has something new: look.</summary>
    public void Wake() => wakeup.Set();

    /// <summary>Reads requests until the client half-closes.</summary>
    public async Task ReceiveAsync(DiscoveryRequest first, MessageReader<DiscoveryRequest> requests, CancellationToken cancellation)
    {
        for (var request = first; request is not null; request = await requests.ReadAsync(cancellation))
            Receive(request);
    }

    /// <summary>Writes responses until cancelled. A <see cref="StuckClientException"/> when the client does not read.</summary>
    public async Task SendAsync(MessageWriter<DiscoveryResponse> responses, CancellationToken cancellation)
    {
        while (true)
        {
            var withheld = TakeNewestConfig();
            DiscoveryResponse? response;
            var wait = withheld ?? Timeout.InfiniteTimeSpan;
            lock (gate)
            {
                var now = services.Time.GetUtcNow();
                response = withheld is null || !AsksByName ? state.Next(now) : null;
                if (response is not null) response.ControlPlane = controlPlane;
                if (state.HeldUntil - now is { } held && (wait == Timeout.InfiniteTimeSpan || held < wait)) wait = held;
            }

            if (response is null) await wakeup.WaitAsync(wait, services.Time, cancellation);
            else await WriteAsync(responses, response, cancellation);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => wakeup.Dispose();

    private void Receive(DiscoveryRequest request)
    {
        if (request.ResourceNames.Count > MostNames)
            throw new GrpcException(GrpcStatusCode.InvalidArgument, $"a request names {request.ResourceNames.Count} resources; at most {MostNames} are taken, use the wildcard");
        // The first requests of a stream tell the versions that an earlier stream brought.
        if (request.VersionInfo.Length > 0 && seen is null) withholding.IsReturning();
        RequestKind kind;
        lock (gate) kind = state.Receive(request, services.Time.GetUtcNow());
        switch (kind)
        {
            case RequestKind.Ack:
                ReportConvergence();
                break;
            case RequestKind.Nack:
                services.Metrics.Refused(ResourceKind.Of(request.TypeUrl)!);
                log.Warn("a node refused its configuration", ("node", Node.Id), ("type", ResourceKind.Of(request.TypeUrl)!.ShortName), ("error", request.ErrorDetail.Message));
                break;
            default:
                if (!budget.TryTake())
                    throw new GrpcException(GrpcStatusCode.ResourceExhausted, $"too many requests: {RequestBudget.Burst} at once and {RequestBudget.Rate} a second are taken beside the answers to responses");
                break;
        }

        services.OnRequest(this, kind, request.TypeUrl);
        wakeup.Set();
    }

    // What gRPC clients need grows with what they ask for, so an old configuration may not know it either.
    private bool AsksByName => Node.Emitter == EmitterKind.Grpc;

    /// <summary>Takes the newest configuration unless it has to wait; then tells for how long at most.</summary>
    private TimeSpan? TakeNewestConfig()
    {
        if (services.Feed.Current is not { } newest || (ReferenceEquals(newest, seen) && !AsksByName)) return null;
        if (withholding.Left(newest.Compiled, Node, AsksByName ? NamesOf(ResourceKind.Listeners) : [], seen is null) is { } left) return left;
        if (ReferenceEquals(newest, seen)) return null;
        if (newest.Compiled.World.Version >= AdmittedAt && !NodeAuthority.Holds(Node, newest.Compiled.World))
            throw new GrpcException(GrpcStatusCode.PermissionDenied, $"{Node.Identity} may no longer serve {Node.Namespace}/{Node.Service}");
        var config = newest.Compiled.For(Node);
        lock (gate)
        {
            state.Update(config);
            // Only changes count as convergence; the first configuration of a node is its start.
            if (seen is not null) changedSince ??= newest.Since;
            seen = newest;
            if (state.IsSettled) changedSince = null;
        }

        return null;
    }

    private void ReportConvergence()
    {
        lock (gate)
        {
            if (changedSince is not { } since || !state.IsSettled) return;
            changedSince = null;
            services.Metrics.Converged(services.Time.GetElapsedTime(since));
        }
    }

    private async Task WriteAsync(MessageWriter<DiscoveryResponse> responses, DiscoveryResponse response, CancellationToken cancellation)
    {
        using var stuck = new CancellationTokenSource(StuckAfter, services.Time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(stuck.Token, cancellation);
        try
        {
            await responses.WriteAsync(response, either.Token);
        }
        catch (OperationCanceledException) when (stuck.IsCancellationRequested && !cancellation.IsCancellationRequested)
        {
            throw new StuckClientException();
        }

        services.Metrics.Pushed(ResourceKind.Of(response.TypeUrl)!);
    }
}

/// <summary>The client of a stream does not read what it is sent.</summary>
internal sealed class StuckClientException() : Exception($"the client took nothing for {AdsStream.StuckAfter.TotalSeconds:0} seconds");
