using System.Collections.Immutable;
using System.Diagnostics.Metrics;
using Mesh.Api.Logging;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Sources.Consul;

/// <summary>
/// Follows Consul (or the built-in registry) and writes what it knows as one slice of the world: the names of the catalog by one blocking
/// query, and one for each service in use. Whatever Consul does, the last good answer stays. Thread safe; <see cref="RunAsync"/> owns all loops.
/// </summary>
internal sealed class ConsulSource : IDisposable
{
    private static readonly TimeSpan Tidy = TimeSpan.FromSeconds(1);
    private const int MostUnnamed = 100;
    private readonly ConsulClient client;
    private readonly WorldStore store;
    private readonly WithdrawnWorkloads withdrawn;
    private readonly ConsulSourceOptions options;
    private readonly SourceClock clock;
    private readonly Log log;
    private readonly ServiceWatches watches;
    private readonly Signal review = new();
    private readonly Coalescer publish;
    private readonly Meter meter = new(ControlPlaneMeter.Name);
    private readonly TaskCompletionSource synced = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile CatalogAnswer? catalog;
    private volatile bool open;
    private long lastAnswer;

    /// <summary>Opens no connection yet.</summary>
    public ConsulSource(
        ConsulClient client, WorldStore store, WithdrawnWorkloads withdrawn, ConsulSourceOptions options, SourceClock clock, Log log)
    {
        (this.client, this.store, this.withdrawn) = (client, store, withdrawn);
        (this.options, this.clock, this.log) = (options, clock, log.For("consul"));
        lastAnswer = clock.Time.GetTimestamp();
        watches = new ServiceWatches(client, withdrawn, options, clock, this.log);
        publish = new Coalescer(Publish, options.Spacing, clock.Time);
        watches.Changed += OnServicesChanged;
        meter.CreateObservableGauge(
            "mesh_source_staleness_seconds",
            () => new Measurement<double>(Staleness.TotalSeconds, new KeyValuePair<string, object?>("source", SourceOrder.Consul)),
            description: "Seconds since a source of services last answered.");
        meter.CreateObservableGauge("mesh_registry_up", () => watches.Quiet || catalog is null ? 0 : 1, description: "1 while the registry answers.");
    }

    /// <summary>Raised after each good answer for a service with what Consul says (also when that is held). Handlers only signal.</summary>
    public event Action<string, ServiceView>? Answered
    {
        add => watches.Answered += value;
        remove => watches.Answered -= value;
    }

    /// <summary>Raised when Consul answers again after a time without.</summary>
    public event Action? Returned;

    /// <summary>
    /// Completes when every service in use has been read once and is in the world. Until then the world lacks services that exist:
    /// answering a node that already has a configuration would take them away.
    /// </summary>
    public Task Synced => synced.Task;

    /// <summary>Time since Consul last answered about its catalog. Up to the wait of a blocking query when nothing changes.</summary>
    public TimeSpan Staleness => clock.Time.GetElapsedTime(Interlocked.Read(ref lastAnswer));

    /// <summary>Follows Consul until <paramref name="stop"/>.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        void OnWorld(World _) => review.Set();
        void OnInterest(Interest _) => review.Set();
        store.Changed += OnWorld;
        store.InterestChanged += OnInterest;
        withdrawn.Changed += publish.Flush;
        store.SetInstances(SourceOrder.Consul, [], Unread.All);
        try
        {
            await Loops.RunAsync(stop, FollowCatalogAsync, ReviewAsync, watches.PollAsync);
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
        }
        finally
        {
            store.Changed -= OnWorld;
            store.InterestChanged -= OnInterest;
            withdrawn.Changed -= publish.Flush;
            await watches.EndAsync();
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        publish.Dispose();
        watches.Dispose();
        meter.Dispose();
    }

    private Task FollowCatalogAsync(CancellationToken stop)
    {
        long? down = null;
        return new BlockingQuery<Dictionary<string, string[]>>(options.Query, clock).RunAsync(
            (index, ct) => client.ReadAsync("/v1/catalog/services?stale", index, ConsulJson.Default.DictionaryStringStringArray, ct),
            answer =>
            {
                var now = clock.Time.GetTimestamp();
                Interlocked.Exchange(ref lastAnswer, now);
                var names = new HashSet<string>(answer.Value?.Keys ?? Enumerable.Empty<string>(), StringComparer.Ordinal);
                var isNews = catalog is not { } before || !before.Names.SetEquals(names);
                var unnamed = isNews ? ServicesInUse.Unnameable(names) : catalog!.Unnamed;
                var isOdd = !unnamed.SequenceEqual(catalog?.Unnamed ?? []);
                catalog = new CatalogAnswer(names, unnamed, catalog?.First ?? now);
                if (isNews) review.Set();
                if (isOdd && open) publish.Signal();
                if (down is not { } since) return isNews;
                (down, watches.Quiet) = (null, false);
                log.Info("Consul answers again", ("down_seconds", clock.Time.GetElapsedTime(since, now).TotalSeconds.ToString("0.0")));
                Returned?.Invoke();
                return isNews;
            },
            (error, failures) =>
            {
                watches.Quiet = true;
                down ??= clock.Time.GetTimestamp();
                if (failures == 1) log.Warn("Consul does not answer; the last known services stay in use", ("error", error.Message));
            },
            stop);
    }

    /// <summary>Decides again and again what is followed: after changes of catalog, interest and world, and once a second for what ends by time.</summary>
    private async Task ReviewAsync(CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            if (catalog is { } known)
            {
                var isWarm = clock.Time.GetElapsedTime(known.First) < options.WarmTime;
                var interest = isWarm ? new Interest(true, Interest.None.Services) : store.Interest;
                watches.Follow(ServicesInUse.Of(known.Names, interest, store.Current, store.Rules), known.Names, stop);
                TrySync(known);
            }

            await review.WaitAsync(Tidy, clock.Time, stop);
        }
    }

    private void TrySync(CatalogAnswer known)
    {
        if (open) return;
        var missing = watches.Unanswered();
        if (missing.Length > 0 && clock.Time.GetElapsedTime(known.First) < options.SyncPatience) return;
        if (missing.Length > 0)
            log.Warn("the first world goes out without services that Consul has not answered for", ("services", string.Join(',', missing.Take(10))));
        open = true;
        watches.Open();
        publish.Flush();
        log.Info(
            "services are read from Consul",
            ("address", client.Address), ("services", known.Names.Count), ("instances", watches.Snapshot(known.Names).Instances.Length));
        synced.TrySetResult();
    }

    private void OnServicesChanged()
    {
        if (open) publish.Signal();
        else review.Set();
    }

    /// <summary>Writes the slice. Runs inside the coalescer, one at a time. Half a world is worse than none: the first one is whole.</summary>
    private void Publish()
    {
        if (!open || catalog is not { } known) return;
        var (instances, notices, unread) = watches.Snapshot(known.Names);
        store.SetInstances(SourceOrder.Consul, instances, unread);
        store.SetNotices(SourceOrder.Consul, [.. notices, .. known.Unnamed.Take(MostUnnamed).Select(Unnameable)]);
    }

    private static Notice Unnameable(string name) => new(MeshMeta.Source(name, ServiceName.DefaultNamespace),
        $"service '{name}' is left out: its name is not a DNS label (a-z, 0-9, -, at most 63), so no host name can name it; register it under another name");

    /// <summary>The catalog's names, those of them that the mesh cannot have, and when it was first read.</summary>
    private sealed record CatalogAnswer(HashSet<string> Names, ImmutableArray<string> Unnamed, long First);
}
