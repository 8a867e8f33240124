using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Sources.Consul;

namespace Mesh.ControlPlane.Sources.Workloads;

/// <summary>
/// Brings the workloads registered here into the registry and keeps them there: one keeper for each, this replica's sign of life, and the
/// collection of what dead replicas left. Thread safe; <see cref="RunAsync"/> owns all loops.
/// </summary>
internal sealed class WorkloadRegistry : IDisposable
{
    private readonly WorkloadRegistrations registrations;
    private readonly ConsulSource source;
    private readonly WorkloadContext context;
    private readonly CatalogWriter catalog;
    private readonly ReplicaSession session;
    private readonly OrphanCollector orphans;
    private readonly Lock gate = new();
    private readonly Dictionary<string, EntryKeeper> keepers = new(StringComparer.Ordinal);
    private readonly Dictionary<EntryKeeper, Task> loops = [];
    private readonly TaskCompletionSource broken = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private CancellationToken stopping;

    public WorkloadRegistry(ConsulClient client, ConsulSource source, WorkloadRegistrations registrations, string owner, WorkloadContext context)
    {
        (this.registrations, this.source, this.context) = (registrations, source, context);
        catalog = new CatalogWriter(client, owner, context.Options.MaxWrites);
        session = new ReplicaSession(client, owner, context);
        orphans = new OrphanCollector(client, registrations, catalog, session, context);
    }

    /// <summary>Works until <paramref name="stop"/>. What is in the registry stays: the workloads live on and come back to the next control plane.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(stop);
        lock (gate) stopping = ending.Token;
        registrations.Changed += Review;
        source.Answered += Compare;
        source.Returned += DoubtAll;
        foreach (var id in registrations.Ids()) Review(id);
        try
        {
            await Loops.RunAsync(stop, session.RunAsync, orphans.RunAsync, broken.Task.WaitAsync);
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
        }
        finally
        {
            registrations.Changed -= Review;
            source.Answered -= Compare;
            source.Returned -= DoubtAll;
            registrations.Close();
            await ending.CancelAsync();
            Task[] all;
            lock (gate) all = [.. loops.Values];
            await Task.WhenAll(all);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => catalog.Dispose();

    private void Review(string id)
    {
        lock (gate)
        {
            if (stopping.IsCancellationRequested) return;
            if (!keepers.TryGetValue(id, out var keeper))
            {
                keepers[id] = keeper = new EntryKeeper(id, registrations, catalog, context);
                loops[keeper] = Task.Run(() => KeepAsync(id, keeper, stopping), CancellationToken.None);
            }

            keeper.Review();
        }
    }

    private async Task KeepAsync(string id, EntryKeeper keeper, CancellationToken stop)
    {
        try
        {
            await keeper.RunAsync(() => TryEnd(id), stop);
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
        }
        catch (Exception e)
        {
            // Its workload would be missing for everybody, and nobody would know why.
            broken.TrySetException(e);
        }
        finally
        {
            lock (gate) loops.Remove(keeper);
        }
    }

    /// <summary>A keeper ends only if its workload did not come back between its last look and now.</summary>
    private bool TryEnd(string id)
    {
        lock (gate) return registrations.Desired(id) is null && keepers.Remove(id);
    }

    /// <summary>What the registry says about a service hints at entries that are missing or another's.</summary>
    private void Compare(string service, ServiceView view)
    {
        var said = view.Entries.ToDictionary(e => e.Instance.Id, e => e.Owner, StringComparer.Ordinal);
        foreach (var id in registrations.IdsOf(service))
            if (!said.TryGetValue(id, out var holder) || holder != catalog.Owner) Doubt(id);
    }

    /// <summary>The registry is back from somewhere, perhaps with nothing in it.</summary>
    private void DoubtAll()
    {
        session.Renew();
        foreach (var id in registrations.Ids()) Doubt(id);
    }

    private void Doubt(string id)
    {
        lock (gate)
            if (keepers.TryGetValue(id, out var keeper)) keeper.Doubt();
    }
}
