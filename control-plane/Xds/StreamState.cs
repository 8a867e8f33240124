using Envoy.Service.Discovery.V3;
using Mesh.ControlPlane.Compilation;

namespace Mesh.ControlPlane.Xds;

/// <summary>What a request of a client turned out to be.</summary>
internal enum RequestKind
{
    /// <summary>The first one for its type on this stream.</summary>
    Initial,

    /// <summary>Other names than before.</summary>
    SubscriptionChange,

    /// <summary>The client took the last response.</summary>
    Ack,

    /// <summary>The client refused the last response.</summary>
    Nack,

    /// <summary>It answers a response that is not the latest; a fresh answer follows, so it says nothing.</summary>
    Stale,

    /// <summary>A type this server does not serve; nothing is ever sent for it.</summary>
    UnknownType,
}

/// <summary>
/// The state of the world protocol of one ADS stream: requests and configurations go in, responses come out. Pure: no I/O, time
/// passed in. Not thread safe; its stream owns it.
/// <para>
/// Order is make-before-break: clusters, endpoints, listeners, routes, and only then the removal of clusters. Changes of listeners
/// and routes wait until the client has answered the clusters and endpoints they may name, for <see cref="LongestHold"/> at most.
/// </para>
/// </summary>
internal sealed class StreamState(string streamId)
{
    /// <summary>How long a change of listeners or routes waits for clusters and endpoints before it goes out regardless.</summary>
    public static readonly TimeSpan LongestHold = TimeSpan.FromSeconds(1);

    private readonly Subscription?[] subscriptions = new Subscription?[ResourceKind.InOrder.Length];

    // Clusters sent anew whose endpoints the client has not acknowledged yet: routes to them would find nothing.
    private readonly HashSet<string> awaitedEndpoints = new(StringComparer.Ordinal);
    private NodeConfig? config;
    private long responses;
    private DateTimeOffset? heldSince;

    /// <summary>The subscriptions so far, in order of kinds.</summary>
    public IEnumerable<Subscription> Subscriptions => subscriptions.Where(s => s is not null)!;

    /// <summary>When a held change is due whatever the client does; null when nothing is held.</summary>
    public DateTimeOffset? HeldUntil => heldSince + LongestHold;

    /// <summary>True when the client has answered everything of the newest configuration.</summary>
    public bool IsSettled => config is not null && Subscriptions.All(s => s.IsSettled(s.Kind.From(config)));

    /// <summary>True when a response waits for its answer.</summary>
    public bool AwaitsAnswer => Subscriptions.Any(s => s.InFlight is not null);

    /// <summary>Takes the newest configuration; what an older one did not get to send is forgotten.</summary>
    public void Update(NodeConfig newest) => config = newest;

    /// <summary>Takes a request.</summary>
    public RequestKind Receive(DiscoveryRequest request, DateTimeOffset now)
    {
        if (ResourceKind.Of(request.TypeUrl) is not { } kind) return RequestKind.UnknownType;
        if (subscriptions[kind.Index] is not { } subscription)
        {
            // Whatever nonce it carries is of an older stream and means nothing here.
            subscription = subscriptions[kind.Index] = new Subscription(kind);
            subscription.Resubscribe(request.ResourceNames);
            return RequestKind.Initial;
        }

        var nonce = request.ResponseNonce;
        if (nonce.Length > 0 && nonce != subscription.Last?.Nonce) return RequestKind.Stale;
        var answer = nonce.Length == 0 || subscription.InFlight is null ? RequestKind.SubscriptionChange : Answer(subscription, request, now);
        subscription.Resubscribe(request.ResourceNames);
        return answer;
    }

    /// <summary>The next response to send now, or null. Call until null after each request, configuration or reached <see cref="HeldUntil"/>.</summary>
    public DiscoveryResponse? Next(DateTimeOffset now)
    {
        if (config is null) return null;
        // Roots and revocations refer to nothing, and a client may need them before it can use the rest.
        return Take(ResourceKind.Secrets, config, now) ?? Take(ResourceKind.Revocations, config, now) ?? Take(ResourceKind.Ranges, config, now) ?? TakeClusters(config, now) ?? Take(ResourceKind.Endpoints, config, now)
            ?? TakeUnlessHeld(config, now) ?? TakeNames(config, now) ?? TakeClusterRemovals(config, now);
    }

    private RequestKind Answer(Subscription subscription, DiscoveryRequest request, DateTimeOffset now)
    {
        if (request.ErrorDetail is { } error)
        {
            if (subscription.Kind == ResourceKind.Clusters) awaitedEndpoints.Clear();
            subscription.Nack(error.Message.Length > 0 ? error.Message : $"code {error.Code}, no reason given", now);
            return RequestKind.Nack;
        }

        if (subscription.Kind == ResourceKind.Endpoints)
        {
            foreach (var resource in subscription.InFlight!.Resources) awaitedEndpoints.Remove(resource.Name);
        }

        subscription.Ack();
        return RequestKind.Ack;
    }

    // Clusters that go stay until nothing names them any more, so the first step goes to old and new together.
    private DiscoveryResponse? TakeClusters(NodeConfig newest, DateTimeOffset now)
    {
        if (Of(ResourceKind.Clusters) is not { InFlight: null } clusters) return null;
        var target = newest.Clusters;
        var leaving = SetDifference.Between(clusters.Known, target).Where(c => c.After is null).Select(c => c.Before!).ToList();
        if (leaving.Count > 0) target = ResourceSet.From(target.Items.Concat(leaving));
        var before = clusters.Known;
        var response = Take(clusters, target, now);
        if (response is not null) ClustersSent(before, target, newest);
        return response;
    }

    // A client warms a cluster it got anew, and waits for its endpoints even when those did not change.
    private void ClustersSent(ResourceSet before, ResourceSet after, NodeConfig newest)
    {
        foreach (var change in SetDifference.Between(before, after))
        {
            if (change.After is null || !newest.Endpoints.TryGet(change.Name, out _)) continue;
            Of(ResourceKind.Endpoints)?.Owe(change.Name);
            if (change.Before is null && Of(ResourceKind.Clusters)!.Wildcard) awaitedEndpoints.Add(change.Name);
        }
    }

    private DiscoveryResponse? TakeUnlessHeld(NodeConfig newest, DateTimeOffset now)
    {
        var held = false;
        foreach (var kind in (ReadOnlySpan<ResourceKind>)[ResourceKind.Listeners, ResourceKind.Routes])
        {
            if (Of(kind) is not { InFlight: null } subscription) continue;
            // The first answer to a client is never held: it may wait for all types before it acknowledges any.
            var isUpdate = subscription.Last is not null && subscription.HasChange(kind.From(newest));
            if (isUpdate && MustHold(now))
            {
                held = true;
                continue;
            }

            if (Take(subscription, kind.From(newest), now) is { } response) return response;
        }

        if (!held) heldSince = null;
        return null;
    }

    // A name must not lead to an address before a listener knows it.
    private DiscoveryResponse? TakeNames(NodeConfig newest, DateTimeOffset now) =>
        Of(ResourceKind.Names) is { Last: not null } && (heldSince is not null || Of(ResourceKind.Listeners)?.InFlight is not null) ? null : Take(ResourceKind.Names, newest, now);

    private bool MustHold(DateTimeOffset now)
    {
        var waiting = Of(ResourceKind.Clusters)?.InFlight is not null || Of(ResourceKind.Endpoints)?.InFlight is not null || awaitedEndpoints.Count > 0;
        if (!waiting) return false;
        heldSince ??= now;
        if (now - heldSince < LongestHold) return true;
        awaitedEndpoints.Clear();
        return false;
    }

    private DiscoveryResponse? TakeClusterRemovals(NodeConfig newest, DateTimeOffset now)
    {
        var referrersDone = (Of(ResourceKind.Listeners)?.IsSettled(newest.Listeners) ?? true) && (Of(ResourceKind.Routes)?.IsSettled(newest.Routes) ?? true);
        return referrersDone ? Take(ResourceKind.Clusters, newest, now) : null;
    }

    private DiscoveryResponse? Take(ResourceKind kind, NodeConfig newest, DateTimeOffset now) =>
        Of(kind) is { } subscription ? Take(subscription, kind.From(newest), now) : null;

    private DiscoveryResponse? Take(Subscription subscription, ResourceSet target, DateTimeOffset now)
    {
        if (subscription.Take(target, $"{streamId}.{responses + 1}", now) is not { } sent) return null;
        responses++;
        var response = new DiscoveryResponse { VersionInfo = sent.Version, TypeUrl = subscription.Kind.TypeUrl, Nonce = sent.Nonce };
        foreach (var resource in sent.Resources) response.Resources.Add(resource.Body);
        return response;
    }

    private Subscription? Of(ResourceKind kind) => subscriptions[kind.Index];
}
