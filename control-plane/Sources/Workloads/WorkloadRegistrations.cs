using System.Collections.Immutable;
using Mesh.Api.Logging;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Sources.Workloads;

/// <summary>
/// The workloads that registered at this control plane: connected, in their grace time, or gone. Each change is in the world at once
/// and reaches the registry by whoever listens to <see cref="Changed"/>. Thread safe.
/// </summary>
internal sealed class WorkloadRegistrations : IDisposable
{
    private readonly WorldStore store;
    private readonly WithdrawnWorkloads withdrawn;
    private readonly WorkloadOptions options;
    private readonly TimeProvider time;
    private readonly Log log;
    private readonly Lock gate = new();
    private readonly Dictionary<string, HeldWorkload> workloads = new(StringComparer.Ordinal);
    private readonly HashSet<WorkloadLease> leases = [];
    private readonly Coalescer publish;
    private long lastNumber;
    private bool closed;

    public WorkloadRegistrations(WorldStore store, WithdrawnWorkloads withdrawn, WorkloadOptions options, TimeProvider time, Log log)
    {
        (this.store, this.withdrawn, this.options, this.time, this.log) = (store, withdrawn, options, time, log.For("workloads"));
        publish = new Coalescer(Publish, options.Spacing, time);
    }

    /// <summary>Raised after the registry has to be told about a workload. Handlers only signal.</summary>
    public event Action<string>? Changed;

    /// <summary>How many are connected, and how many are in their grace time.</summary>
    public (int Connected, int InGrace) Count()
    {
        lock (gate) return (workloads.Values.Count(w => w.Lease is not null), workloads.Values.Count(w => w.Lease is null));
    }

    /// <summary>The ids of all workloads registered here.</summary>
    public string[] Ids()
    {
        lock (gate) return [.. workloads.Keys];
    }

    /// <summary>The ids of those of one service, whatever its namespace.</summary>
    public string[] IdsOf(string service)
    {
        lock (gate) return [.. workloads.Values.Where(w => w.Desired.Instance.Service == service).Select(w => w.Desired.Instance.Id)];
    }

    /// <summary>True when another identity holds the instance's id, or held it until a moment ago.</summary>
    public bool IsTaken(Instance instance)
    {
        lock (gate) return IsTakenLocked(instance);
    }

    /// <summary>The hold of a new stream, on nothing yet; null when too many streams are open.</summary>
    public WorkloadLease? TryOpen()
    {
        var lease = new WorkloadLease();
        Action? cancel = null;
        lock (gate)
        {
            if (leases.Count >= options.MaxWorkloads + options.SpareStreams)
            {
                lease.Dispose();
                return null;
            }

            if (closed) cancel = lease.Lose("the control plane is stopping", stopping: true);
            else leases.Add(lease);
        }

        cancel?.Invoke();
        return lease;
    }

    /// <summary>
    /// Registers the workload, or says again what it is. The newest stream of an id wins over an older one.
    /// The generation that comes out is what to wait for with <see cref="WaitAsync"/>.
    /// </summary>
    /// <returns>Null, or why it is refused.</returns>
    public string? Register(WorkloadLease lease, Instance instance, string detail, out long generation, DateTimeOffset? provedUntil = null)
    {
        Action? cancel = null;
        // Who serves nothing is nobody's to find in the registry.
        var isServing = instance.Service.Length > 0;
        lock (gate)
        {
            generation = 0;
            if (lease.Reason is not null) return lease.Reason;
            if (lease.WorkloadId is { } id && id != instance.Id) return $"this stream registered '{id}'; another workload needs its own stream";
            if (IsTakenLocked(instance)) return $"workload id '{instance.Id}' is held by another identity";
            if (!workloads.TryGetValue(instance.Id, out var held))
            {
                if (workloads.Count >= options.MaxWorkloads) return $"this control plane holds {workloads.Count} workloads, which is its limit";
                var desired = new DesiredEntry(instance, detail, ++lastNumber, ++lastNumber);
                held = workloads[instance.Id] = new HeldWorkload { Desired = desired, Lease = lease };
                var service = new ServiceName(instance.Namespace, instance.Service);
                log.Info("workload registered", ("workload", instance.Id), ("service", service), ("address", instance.Address));
            }
            else if (held.Lease != lease)
            {
                cancel = held.Lease?.Lose($"workload '{instance.Id}' registered again by a newer stream");
                if (cancel is not null) log.Warn("a newer stream takes a workload over from a live one", ("workload", instance.Id));
                held.Lease = lease;
                held.Desired = held.Desired with { Lease = ++lastNumber };
            }

            held.Grace?.Dispose();
            held.Grace = null;
            lease.WorkloadId = instance.Id;
            isServing |= held.Desired.Instance.Service.Length > 0;
            generation = Update(held, instance, detail);
            held.Proved?.Dispose();
            held.Proved = provedUntil is { } end ? time.CreateTimer(_ => Unproved(instance.Id, held), null, Left(end), Timeout.InfiniteTimeSpan) : null;
        }

        withdrawn.Remove(instance.Id);
        publish.Signal();
        cancel?.Invoke();
        if (isServing) Changed?.Invoke(instance.Id);
        return null;
    }

    /// <summary>Says how the workload is.</summary>
    /// <returns>Null, or why it is refused.</returns>
    public string? SetHealth(WorkloadLease lease, WorkloadHealth health, out long generation)
    {
        lock (gate)
        {
            generation = 0;
            if (Held(lease) is not { } held) return lease.Reason ?? "no workload is registered on this stream";
            var instance = held.Desired.Instance;
            generation = Update(held, instance with { Health = health.State, Ports = RegistrationRules.WithDown(instance.Ports, health.PortsDown) }, health.Detail);
        }

        publish.Signal();
        Changed?.Invoke(lease.WorkloadId!);
        return null;
    }

    /// <summary>The workload says that it goes: it is withdrawn at once.</summary>
    public void Leave(WorkloadLease lease, string reason)
    {
        lock (gate)
            if (Held(lease) is null) return;
        Withdraw(lease.WorkloadId!, w => w.Lease == lease, $"it leaves: {RegistrationRules.Detail(reason)}");
    }

    /// <summary>The stream has ended. Its workload, if it still holds one, has the grace time to come back.</summary>
    public void Disconnect(WorkloadLease lease)
    {
        lock (gate)
        {
            leases.Remove(lease);
            if (closed || Held(lease) is not { } held) return;
            var id = lease.WorkloadId!;
            held.Lease = null;
            var number = held.Desired.Lease;
            held.Grace = time.CreateTimer(
                _ => Withdraw(id, w => w.Lease is null && w.Desired.Lease == number, "its stream broke and it did not come back"),
                null, options.Grace, Timeout.InfiniteTimeSpan);
            log.Info("workload lost its stream; it may come back", ("workload", id), ("grace_seconds", options.Grace.TotalSeconds));
        }
    }

    /// <summary>Another replica has taken the workload over: it is no longer ours, and stays in the world by what the registry says.</summary>
    public void Yield(string id, long lease, string to, bool toAnotherIdentity = false)
    {
        Action? cancel = null;
        lock (gate)
        {
            if (!workloads.TryGetValue(id, out var held) || held.Desired.Lease != lease) return;
            workloads.Remove(id);
            held.EndTimers();
            cancel = held.Lease?.Lose(toAnotherIdentity ? $"workload id '{id}' is held by another identity, at replica '{to}'" : $"workload '{id}' registered again at replica '{to}'");
            if (toAnotherIdentity) log.Warn("a registration is refused", ("identity", held.Desired.Instance.Identity), ("workload", id), ("reason", "workload_id"), ("replica", to));
            else log.Info("workload is now held by another replica", ("workload", id), ("replica", to));
        }

        publish.Signal();
        cancel?.Invoke();
        Changed?.Invoke(id);
    }

    /// <summary>What the registry shall hold about a workload, or null when nothing.</summary>
    public DesiredEntry? Desired(string id)
    {
        lock (gate) return workloads.GetValueOrDefault(id)?.Desired is { Instance.Service.Length: > 0 } desired ? desired : null;
    }

    /// <summary>Says how a write went.</summary>
    public void Report(string id, long generation, string? error)
    {
        lock (gate)
        {
            if (!workloads.TryGetValue(id, out var held)) return;
            var before = held.Progress;
            held.Progress = error is null
                ? before with { Written = Math.Max(generation, before.Written) }
                : before with { Failed = Math.Max(generation, before.Failed), Error = error };
            if (held.Progress == before) return;
            var progressed = held.Progressed;
            held.Progressed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            progressed.SetResult();
        }
    }

    /// <summary>Waits until the registry has the generation. With <paramref name="orFailure"/>, also until a write of it failed.</summary>
    public async Task<WriteProgress> WaitAsync(WorkloadLease lease, long generation, bool orFailure, CancellationToken stop)
    {
        while (true)
        {
            WriteProgress progress;
            Task next;
            lock (gate)
            {
                if (Held(lease) is not { Desired.Instance.Service.Length: > 0 } held) return WriteProgress.None with { Written = generation };
                (progress, next) = (held.Progress, held.Progressed.Task);
            }

            if (progress.Written >= generation || (orFailure && progress.Failed >= generation)) return progress;
            await next.WaitAsync(stop);
        }
    }

    /// <summary>Ends all streams and withdraws nothing: the workloads stay as they are and come back to the next control plane.</summary>
    public void Close()
    {
        Action[] cancels;
        lock (gate)
        {
            if (closed) return;
            closed = true;
            foreach (var held in workloads.Values) held.EndTimers();
            cancels = [.. leases.Select(l => l.Lose("the control plane is stopping", stopping: true))];
            leases.Clear();
        }

        foreach (var cancel in cancels) cancel();
    }

    public void Dispose()
    {
        Close();
        publish.Dispose();
    }

    private void Withdraw(string id, Func<HeldWorkload, bool> stillMeant, string reason)
    {
        lock (gate)
        {
            if (closed || !workloads.TryGetValue(id, out var held) || !stillMeant(held)) return;
            workloads.Remove(id);
            held.EndTimers();
            if (held.Lease is { } lease) lease.WorkloadId = null;
            log.Info("workload withdrawn", ("workload", id), ("reason", reason));
        }

        // First what the registry says about it is hidden, then it leaves the local slice: it does not shine through between.
        withdrawn.Add(id);
        publish.Signal();
        Changed?.Invoke(id);
    }

    // Whoever still has them has proved that again by then.
    private void Unproved(string id, HeldWorkload held)
    {
        lock (gate)
        {
            if (closed || workloads.GetValueOrDefault(id) != held || held.Desired.Instance.MoreAddresses.IsEmpty) return;
            log.Warn("addresses of a workload are dropped, since nobody proved them again", ("workload", id), ("addresses", string.Join(',', held.Desired.Instance.MoreAddresses)));
            Update(held, held.Desired.Instance with { MoreAddresses = [] }, held.Desired.Detail);
        }

        publish.Signal();
        Changed?.Invoke(id);
    }

    private TimeSpan Left(DateTimeOffset end) => end - time.GetUtcNow() is { Ticks: > 0 } left ? left : TimeSpan.Zero;

    private bool IsTakenLocked(Instance instance) =>
        workloads.TryGetValue(instance.Id, out var held) && held.Desired.Instance.Identity != instance.Identity && held.Desired.Instance.Identity.Length > 0;

    private HeldWorkload? Held(WorkloadLease lease) =>
        lease.WorkloadId is { } id && workloads.TryGetValue(id, out var held) && held.Lease == lease ? held : null;

    private long Update(HeldWorkload held, Instance instance, string detail)
    {
        if (!held.Desired.Instance.Equals(instance) || held.Desired.Detail != detail)
            held.Desired = held.Desired with { Instance = instance, Detail = detail, Generation = ++lastNumber };
        return held.Desired.Generation;
    }

    private void Publish()
    {
        ImmutableArray<Instance> slice;
        lock (gate) slice = [.. workloads.Values.Select(w => w.Desired.Instance).OrderBy(i => i.Id, StringComparer.Ordinal)];
        store.SetInstances(SourceOrder.Workloads, slice);
    }
}
