using System.Collections.Immutable;
using Mesh.Api.Logging;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Sources.Consul;

/// <summary>
/// Follows a changing set of services of Consul: the first so many by a blocking query each, the others by being read in turn.
/// Thread safe; its loops end with the token given to <see cref="Follow"/> and are joined by <see cref="EndAsync"/>.
/// </summary>
internal sealed class ServiceWatches(ConsulClient client, WithdrawnWorkloads withdrawn, ConsulSourceOptions options, SourceClock clock, Log log)
    : IDisposable
{
    private readonly Lock gate = new();
    private readonly Dictionary<string, ServiceWatch> services = new(StringComparer.Ordinal);
    private readonly List<Task> loops = [];
    private readonly Signal poll = new();
    private readonly ConsulMetrics metrics = new();
    private volatile bool opened;
    private volatile bool hasNew;
    private bool crowded;
    private HashSet<string> shownUnread = [];

    /// <summary>Raised when there is something new to tell the world.</summary>
    public event Action? Changed;

    /// <summary>Raised after each good answer, with what Consul says (also when that is held).</summary>
    public event Action<string, ServiceView>? Answered;

    /// <summary>True while Consul as a whole does not answer: then no line is written for each service.</summary>
    public bool Quiet { get; set; }

    /// <summary>Services that have not been read yet.</summary>
    public string[] Unanswered()
    {
        lock (gate) return [.. services.Values.Where(s => !s.Answered).Select(s => s.Name)];
    }

    /// <summary>What is known, for the world, services in the order of their names; and what of the catalog is not.</summary>
    public (ImmutableArray<Instance> Instances, ImmutableArray<Notice> Notices, Unread Unread) Snapshot(HashSet<string> catalog)
    {
        lock (gate)
        {
            shownUnread = UnreadOf(catalog, out _);
            var ordered = services.Values.OrderBy(s => s.Name, StringComparer.Ordinal).ToArray();
            return (
                [.. ordered.SelectMany(s => s.View.Entries).Where(e => !withdrawn.Hides(e)).Select(e => e.Instance)],
                [.. ordered.SelectMany(s => s.Notices())],
                new Unread(false, shownUnread));
        }
    }

    /// <summary>The start is over: from now on what is read in turn is read with pauses.</summary>
    public void Open()
    {
        opened = true;
        poll.Set();
    }

    /// <summary>Follows what is needed, and lets go what nobody needs or what has gone from the catalog and is known to be empty.</summary>
    public void Follow(HashSet<string> needed, HashSet<string> catalog, CancellationToken stop)
    {
        var told = false;
        lock (gate)
        {
            var now = clock.Time.GetUtcNow();
            foreach (var name in needed)
            {
                if (!services.TryGetValue(name, out var service))
                {
                    services[name] = service = new ServiceWatch(name, options, clock.Time, log);
                    hasNew = true;
                }

                service.NeededAt = now;
            }

            foreach (var service in services.Values.Where(s => IsOver(s, catalog, now)).ToArray())
            {
                services.Remove(service.Name);
                service.Stop?.Cancel();
                told |= !service.View.Entries.IsEmpty || !service.View.Notices.IsEmpty;
            }

            loops.RemoveAll(l => l.IsCompleted);
            told |= IsUnreadNews(catalog);
            StartWatches(stop);
            var watched = services.Values.Count(s => s.Stop is not null);
            metrics.Followed(watched, services.Count - watched, services.Values.Count(s => s.Holding));
        }

        if (told) Changed?.Invoke();
    }

    /// <summary>Reads in turn the services that have no watch, and those whose empty answer needs another one.</summary>
    public async Task PollAsync(CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            ServiceWatch[] due;
            hasNew = false;
            // The first round is part of the start: it waits for nothing and reads nothing twice.
            lock (gate) due = [.. services.Values.Where(s => s.Holding || (s.Stop is null && (opened || !s.Answered)))];
            // Nodes wait for what was never read: that comes first, and without pauses as long as it goes well.
            foreach (var service in due.OrderBy(s => s.Answered))
            {
                if (hasNew) break;
                var isFirst = !service.Answered;
                var isRead = await ReadOnceAsync(service, stop);
                if (opened && !(isFirst && isRead)) await clock.DelayAsync(options.PollPeriod / due.Length, stop);
            }

            if (!hasNew && (due.Length == 0 || !opened)) await poll.WaitAsync(options.PollPeriod, clock.Time, stop);
        }
    }

    /// <summary>Waits for all loops, whose token has been cancelled.</summary>
    public async Task EndAsync()
    {
        Task[] all;
        lock (gate) all = [.. loops];
        await Task.WhenAll(all);
    }

    public void Dispose() => metrics.Dispose();

    private bool IsOver(ServiceWatch service, HashSet<string> catalog, DateTimeOffset now) => catalog.Contains(service.Name)
        ? now - service.NeededAt > options.Linger
        : service.Answered && service.View.Entries.IsEmpty && !service.Holding;

    private HashSet<string> UnreadOf(HashSet<string> catalog, out bool grew)
    {
        grew = false;
        var unread = new HashSet<string>(StringComparer.Ordinal);
        foreach (var name in catalog)
        {
            if (ServicesInUse.MeshName(name) is not { } mesh) continue;
            var isWatched = services.TryGetValue(name, out var service);
            if (isWatched && !service!.IsAwaited) continue;
            unread.Add(mesh);
            grew |= !isWatched && !shownUnread.Contains(mesh);
        }

        return unread;
    }

    // A service that is followed from the start is news when it has answered, not twice.
    private bool IsUnreadNews(HashSet<string> catalog) => !shownUnread.IsSubsetOf(UnreadOf(catalog, out var grew)) || grew;

    private void StartWatches(CancellationToken stop)
    {
        var free = options.MaxWatches - services.Values.Count(s => s.Stop is not null);
        var starting = services.Values.Where(s => s.Stop is null).Take(free).ToArray();
        // One service is followed at once; a crowd spreads out.
        var jitter = starting.Length > 8 ? options.StartJitter : TimeSpan.Zero;
        foreach (var service in starting)
        {
            var ending = service.Stop = CancellationTokenSource.CreateLinkedTokenSource(stop);
            loops.Add(Task.Run(() => FollowAsync(service, ending, clock.UpTo(jitter)), CancellationToken.None));
        }

        var left = services.Values.Count(s => s.Stop is null);
        if (left > 0) poll.Set();
        if (left > 0 && !crowded) log.Warn(
            "more services are in use than may be watched; the others are read in turn",
            ("in_use", services.Count), ("watched", options.MaxWatches), ("period_seconds", options.PollPeriod.TotalSeconds));
        crowded = left > 0;
    }

    private async Task FollowAsync(ServiceWatch service, CancellationTokenSource stop, TimeSpan delay)
    {
        try
        {
            await clock.DelayAsync(delay, stop.Token);
            await new BlockingQuery<HealthEntry[]>(options.Query, clock).RunAsync(
                (index, ct) => client.ReadAsync(PathOf(service, "stale"), index, ConsulJson.Default.HealthEntryArray, ct),
                answer => Take(service, answer),
                (error, failures) => Failed(service, error, failures),
                stop.Token);
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
        }
        finally
        {
            // Whoever lets a service go while all ends must not cancel what is disposed.
            lock (gate)
            {
                service.Stop = null;
                stop.Dispose();
            }
        }
    }

    private async Task<bool> ReadOnceAsync(ServiceWatch service, CancellationToken stop)
    {
        try
        {
            // What decides about dropping instances is asked of the leader, not of whichever server is near.
            var path = PathOf(service, service.Holding ? "consistent" : "stale");
            Take(service, await client.ReadAsync(path, ConsulJson.Default.HealthEntryArray, stop));
            return true;
        }
        catch (ConsulException e)
        {
            Failed(service, e, 1);
            return false;
        }
    }

    private bool Take(ServiceWatch service, ConsulAnswer<HealthEntry[]> answer)
    {
        var view = EntryMapping.Map(service.Name, answer.Value);
        bool changed;
        lock (gate)
        {
            if (!services.TryGetValue(service.Name, out var current) || current != service) return false;
            var (wasHolding, wasAnswered) = (service.Holding, service.Answered);
            changed = service.Take(view, answer.Index, withdrawn) || service.Holding != wasHolding || !wasAnswered;
            if (service.Holding && !wasHolding) metrics.Held();
            if (service.Holding) poll.Set();
        }

        metrics.Answered();
        Answered?.Invoke(service.Name, view);
        if (changed) Changed?.Invoke();
        return changed;
    }

    private void Failed(ServiceWatch service, ConsulException error, int failures)
    {
        metrics.Failed();
        lock (gate) service.Fail();
        if (failures == 3 && !Quiet)
            log.Warn("a service cannot be read; its last known instances stay in use", ("service", service.Name), ("error", error.Message));
    }

    private static string PathOf(ServiceWatch service, string mode) => $"/v1/health/service/{Uri.EscapeDataString(service.Name)}?{mode}";
}
