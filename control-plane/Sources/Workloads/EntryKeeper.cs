using Mesh.ControlPlane.Sources.Consul;

namespace Mesh.ControlPlane.Sources.Workloads;

/// <summary>
/// Keeps the registry's entry of one workload as it shall be, for as long as the workload is registered here: writes, repairs, gives way
/// to another replica, removes. One loop, owned by <see cref="WorkloadRegistry"/>; it ends when nothing is wanted and nothing is there.
/// </summary>
internal sealed class EntryKeeper(string id, WorkloadRegistrations registrations, CatalogWriter catalog, WorkloadContext context)
{
    /// <summary>Conflicts in a row before it is treated as a failure: each means that somebody else wrote between our read and our write.</summary>
    private const int MaxConflicts = 5;

    private readonly Signal signal = new();
    private CatalogEntry? known;
    private DesiredEntry? written;
    private volatile bool doubted;

    /// <summary>What shall be there may have changed.</summary>
    public void Review() => signal.Set();

    /// <summary>What is there may have changed.</summary>
    public void Doubt()
    {
        doubted = true;
        signal.Set();
    }

    /// <summary>Runs until there is nothing to keep; <paramref name="mayEnd"/> decides that under its owner's lock.</summary>
    public async Task RunAsync(Func<bool> mayEnd, CancellationToken stop)
    {
        var failures = 0;
        while (!stop.IsCancellationRequested)
        {
            var desired = registrations.Desired(id);
            try
            {
                if (desired is null) await RemoveAsync(stop);
                else if (doubted) await VerifyAsync(desired, stop);
                else if (written != desired) await WriteAsync(desired, stop);
                failures = 0;
            }
            catch (ConsulException e)
            {
                context.Events.Failed(id, e, ++failures);
                if (desired is not null) registrations.Report(id, desired.Generation, e.Message);
                // A workload that changes often does not shorten the pause; the registry coming back does.
                await context.Clock.DelayAsync(context.Options.Backoff.Least, stop);
                await signal.WaitAsync(context.Options.Backoff.After(failures, context.Clock), context.Clock.Time, stop);
                continue;
            }

            if (desired is null && mayEnd()) return;
            if (registrations.Desired(id) == written && !doubted && !await signal.WaitAsync(Period(), context.Clock.Time, stop)) doubted = true;
        }
    }

    private TimeSpan Period() => (context.Options.ReconcilePeriod * 0.75) + context.Clock.UpTo(context.Options.ReconcilePeriod * 0.5);

    private async Task WriteAsync(DesiredEntry desired, CancellationToken stop)
    {
        for (var conflicts = 0; ; conflicts++)
        {
            var (done, words) = await catalog.TryWriteAsync(desired, known ?? CatalogEntry.Absent, stop);
            if (done is not null)
            {
                (known, written) = (done, desired);
                context.Events.Written();
                registrations.Report(id, desired.Generation, null);
                return;
            }

            context.Events.Conflicted();
            if (conflicts == MaxConflicts) throw new ConsulException(HttpMethod.Put, "/v1/txn", words);
            if (await GiveWayAsync(desired, stop)) return;
        }
    }

    private async Task VerifyAsync(DesiredEntry desired, CancellationToken stop)
    {
        doubted = false;
        var before = known;
        try
        {
            if (await GiveWayAsync(desired, stop)) return;
        }
        catch (ConsulException)
        {
            doubted = true;
            throw;
        }

        // Somebody changed or removed it: what we last wrote is no longer what is there.
        if (known != before) written = null;
    }

    /// <summary>
    /// Reads what is there. True when it is another replica's, and newer than our stream, or another identity's: then the workload lives there.
    /// </summary>
    private async Task<bool> GiveWayAsync(DesiredEntry desired, CancellationToken stop)
    {
        known = await catalog.ReadAsync(id, stop);
        if (known.Identity.Length > 0 && known.Identity != desired.Instance.Identity && known.Owner.Length > 0 && known.Owner != catalog.Owner)
        {
            registrations.Yield(id, desired.Lease, known.Owner, toAnotherIdentity: true);
            return true;
        }

        // The first write of a stream takes over: that the workload is here now is newer than what is there.
        if (written?.Lease != desired.Lease || known.Owner == catalog.Owner || known.Owner.Length == 0) return false;
        registrations.Yield(id, desired.Lease, known.Owner);
        return true;
    }

    private async Task RemoveAsync(CancellationToken stop)
    {
        for (var conflicts = 0; conflicts <= MaxConflicts; conflicts++)
        {
            known ??= await catalog.ReadAsync(id, stop);
            // A workload that has moved is the other replica's to remove.
            var isOurs = known.Node != 0 && (known.Owner.Length == 0 || known.Owner == catalog.Owner);
            if (!isOurs || await catalog.TryDeleteAsync(id, known.Node, stop))
            {
                (known, written) = (null, null);
                return;
            }

            known = null;
        }

        throw new ConsulException(HttpMethod.Put, "/v1/txn", $"the entry of {id} changes faster than it can be removed");
    }
}
