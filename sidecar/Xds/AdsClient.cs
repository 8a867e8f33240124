using Envoy.Config.Core.V3;
using Envoy.Service.Discovery.V3;
using Mesh.Api.Grpc;
using Mesh.Api.Logging;
using Mesh.Api.Xds;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Resilience;

namespace Mesh.Sidecar.Xds;

/// <summary>
/// Follows the control plane for as long as the process lives: one stream at a time, opened again with backoff when it ends. What was good
/// last keeps serving, whatever the control plane sends and however long it is away. One task, started and awaited by Program.
/// </summary>
internal sealed class AdsClient(GrpcChannel channel, Node node, SnapshotPublisher publisher, AdsClock clock, Log log)
{
    /// <summary>A control plane that answers every refusal with the same mistake must not cost a processor.</summary>
    private const int RefusalsAtOnce = 10;

    /// <summary>A mesh of thousands of services has route tables and lists of clusters beyond gRPC's usual 4 MiB.</summary>
    private const int LargestAnswer = 64 * 1024 * 1024;

    private static readonly TimeSpan FirstBackoff = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan LeastBackoff = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan MostBackoff = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan RefusalPause = TimeSpan.FromSeconds(1);

    private readonly Warming warming = new(clock.Time);
    private readonly HashSet<string> come = new(StringComparer.Ordinal);
    private readonly HashSet<string> said = new(StringComparer.Ordinal); // on this stream
    private ResourceSet set = ResourceSet.Empty;
    private bool unpublished;

    /// <summary>True when the control plane is reached by mutual TLS.</summary>
    public bool IsSecured { get; init; }

    /// <summary>True when traffic is captured: the mesh's own addresses are asked for, and nothing is served before they are known.</summary>
    public bool Captures
    {
        get => set.RangesWanted;
        init => set = set with { RangesWanted = value };
    }

    /// <summary>True when names are resolved here: the mesh's are asked for, and nothing is served before they are known.</summary>
    public bool Resolves
    {
        get => set.NamesWanted;
        init => set = set with { NamesWanted = value };
    }

    /// <summary>What serves already when it begins, made of <see cref="Wanted"/>: what was kept from before.</summary>
    public ResourceSet? Begin
    {
        init => set = value ?? set;
    }

    /// <summary>The empty set of whoever wants these.</summary>
    public static ResourceSet Wanted(bool captures, bool resolves) => ResourceSet.Empty with { RangesWanted = captures, NamesWanted = resolves };

    /// <summary>What it shows of itself.</summary>
    public AdsStatus Status { get; } = new();

    /// <summary>Runs until cancelled.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        for (var failures = 0; !stop.IsCancellationRequested;)
        {
            var before = Status.Accepted;
            var end = await FollowAsync(stop);
            if (Status.Confirms) Status.Confirm(clock.Time.GetUtcNow());
            Status.SetConfirms(false);
            Status.SetConnected(false);
            if (stop.IsCancellationRequested) return;
            failures = Status.Accepted > before ? 1 : failures + 1;
            var jittered = Backoff.FullJitter(failures, FirstBackoff, MostBackoff, clock.Random);
            var wait = jittered > LeastBackoff ? jittered : LeastBackoff;
            if (publisher.Serving == ResourceSet.Empty) Status.Trouble = $"no configuration from the control plane {channel.Address}: {end}";
            log.Warn("control plane lost, last good configuration serves on", ("address", channel.Address), ("reason", end), ("retry_ms", (long)wait.TotalMilliseconds));
            await Task.Delay(wait, clock.Time, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <summary>One stream, from its opening to its end; says why it ended.</summary>
    private async Task<string> FollowAsync(CancellationToken stop)
    {
        try
        {
            var protocol = new AdsStream(node, IsSecured, Captures, Resolves);
            warming.Restart();
            said.Clear();
            await using var call = channel.Open(AdsMethods.Stream, new CallOptions { MaxReceiveMessageSize = LargestAnswer }, stop);
            foreach (var request in protocol.Open(set)) await call.WriteAsync(request, stop);
            Status.Opened();
            await ReceiveAsync(call, protocol, stop);
            return "the control plane ended the stream";
        }
        catch (GrpcException e)
        {
            return e.Status.ToString();
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            return "stopping";
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            // A fault of ours must cost a reconnect, not the configuration.
            log.Error("fault while following the control plane", ("error", e));
            return e.Message;
        }
    }

    private async Task ReceiveAsync(GrpcCall<DiscoveryRequest, DiscoveryResponse> call, AdsStream protocol, CancellationToken stop)
    {
        var refusals = 0;
        var read = call.ReadAsync(stop).AsTask();
        while (await WarmUntilAsync(read, stop) is { } response)
        {
            if (!Status.Connected) log.Info("following the control plane", ("address", channel.Address), ("control_plane", response.ControlPlane?.Identifier ?? ""));
            Status.SetConnected(true);
            var step = protocol.Take(set, response);
            if (step.Errors.Count == 0) Accept(step.Set, response);
            else Refuse(step, response);
            foreach (var request in step.Requests) await call.WriteAsync(request, stop);
            refusals = step.Errors.Count == 0 ? 0 : refusals + 1;
            if (refusals > RefusalsAtOnce) await Task.Delay(RefusalPause, clock.Time, stop);
            read = call.ReadAsync(stop).AsTask();
        }
    }

    /// <summary>Waits for the next answer; meanwhile gives up what has been waited for too long, and serves without it.</summary>
    private async Task<DiscoveryResponse?> WarmUntilAsync(Task<DiscoveryResponse?> read, CancellationToken stop)
    {
        while (!read.IsCompleted && warming.NextDeadline() is { } left)
        {
            using var timer = CancellationTokenSource.CreateLinkedTokenSource(stop);
            await Task.WhenAny(read, Task.Delay(left, clock.Time, timer.Token));
            await timer.CancelAsync();
            if (!read.IsCompleted) PublishWhenReady();
        }

        return await read;
    }

    private void Accept(ResourceSet next, DiscoveryResponse response)
    {
        Status.CountAccepted();
        come.Add(response.TypeUrl);
        said.Add(response.TypeUrl);
        Status.SetConfirms(IsWhole(said));
        if (Status.Confirms) Status.Confirm(clock.Time.GetUtcNow());
        (set, unpublished) = (next, true);
        log.Debug("accepted", ("type", TypeUrls.ShortName(response.TypeUrl)), ("version", response.VersionInfo), ("resources", response.Resources.Count));
        publisher.TellTrust(set);
        PublishWhenReady();
    }

    private void PublishWhenReady()
    {
        var ready = warming.Ready(set, out var givenUp);
        foreach (var name in givenUp) log.Warn("asked for and not sent in time, counts as empty", ("resource", name), ("waited_s", Warming.Patience.TotalSeconds));
        if (!ready)
        {
            Status.Trouble = warming.Waiting is { Count: > 0 } names ? $"waiting for {string.Join(", ", names)}" : "waiting for listeners and clusters";
            return;
        }

        Status.Trouble = "";
        if (!unpublished) return;
        unpublished = false;
        publisher.Publish(set);
        if (Status.IsFresh || !IsWhole(come)) return;
        Status.SetFresh();
        log.Info("the control plane's configuration serves", ("address", channel.Address));
    }

    /// <summary>True when a control plane has said what there is: the rest hangs on these.</summary>
    private static bool IsWhole(HashSet<string> types) => types.Contains(TypeUrls.Cluster) && types.Contains(TypeUrls.Listener);

    private void Refuse(AdsStep step, DiscoveryResponse response)
    {
        Status.CountRefused();
        if (publisher.Serving == ResourceSet.Empty) Status.Trouble = $"the configuration is refused: {step.Errors}";
        log.Warn("configuration refused, last good serves on", ("type", TypeUrls.ShortName(response.TypeUrl)), ("version", response.VersionInfo), ("errors", step.Errors));
    }
}

/// <summary>Time and chance, passed in so that tests own both.</summary>
internal sealed record AdsClock(TimeProvider Time, Randomness Random);
