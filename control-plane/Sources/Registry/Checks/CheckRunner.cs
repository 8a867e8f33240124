using System.Collections.Concurrent;
using Mesh.ControlPlane.Sources.Registry.Store;
using Microsoft.Extensions.Logging;

namespace Mesh.ControlPlane.Sources.Registry.Checks;

/// <summary>How a report on a check was taken.</summary>
internal enum ReportOutcome
{
    Taken,
    UnknownCheck,
    NotTtl,
}

/// <summary>
/// Runs the agent's checks: one monitor for each, started and ended as checks come and go in the store, and removes services whose check
/// has been critical for too long. Thread safe; owns its monitors and its timer until it is disposed.
/// </summary>
internal sealed class CheckRunner : IAsyncDisposable
{
    private static readonly TimeSpan ReapPeriod = TimeSpan.FromSeconds(1);
    private readonly RegistryStore store;
    private readonly TimeProvider time;
    private readonly ILogger log;
    private readonly CheckProbes probes = new();
    private readonly ProbeContext context;
    private readonly ConcurrentDictionary<string, CheckMonitor> monitors = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, DateTimeOffset> criticalSince = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<CheckMonitor, Task> ending = new();
    private volatile bool isStopped;
    private ITimer? reaping;

    public CheckRunner(RegistryStore store, TimeProvider time, Random random, ILogger log)
    {
        this.store = store;
        this.time = time;
        this.log = log;
        context = new ProbeContext(probes, time, random, OnProbed);
    }

    /// <summary>Starts all checks of the store, TTL checks with their full time, and follows it from then on.</summary>
    public void Start()
    {
        store.Follow(commit => Apply(commit.State, commit.AgentChecks));
        var state = store.Current;
        Apply(state, state.AgentChecks.Keys);
        reaping = time.CreateTimer(_ => Reap(), null, ReapPeriod, ReapPeriod);
    }

    /// <summary>Takes a report on a TTL check: its state changes and its time begins anew.</summary>
    public ReportOutcome Report(string checkId, string status, string output)
    {
        if (!monitors.TryGetValue(checkId, out var monitor)) return ReportOutcome.UnknownCheck;
        if (monitor is not TtlMonitor ttl) return ReportOutcome.NotTtl;
        ttl.Renew();
        Set(ttl.Check, status, output.Length > ttl.Check.OutputLimit ? output[..ttl.Check.OutputLimit] : output);
        return ReportOutcome.Taken;
    }

    public async ValueTask DisposeAsync()
    {
        if (isStopped) return;
        isStopped = true;
        if (reaping is not null) await reaping.DisposeAsync();
        foreach (var monitor in monitors.Values) End(monitor);
        await Task.WhenAll(ending.Values);
        probes.Dispose();
    }

    private void Apply(RegistryState state, IEnumerable<string> changed)
    {
        foreach (var id in changed)
        {
            var wanted = state.AgentChecks.GetValueOrDefault(id);
            if (wanted is not null && monitors.TryGetValue(id, out var running) && running.Check == wanted)
            {
                (running as TtlMonitor)?.Renew();
                continue;
            }

            if (monitors.TryRemove(id, out var old)) End(old);
            criticalSince.TryRemove(id, out _);
            if (wanted is not null && !isStopped) Begin(wanted, state);
        }
    }

    private void Begin(CheckDefinition check, RegistryState state)
    {
        var status = state.Nodes[state.AgentNode].Checks.GetValueOrDefault(check.CheckId)?.Status ?? CheckStatus.Critical;
        CheckMonitor monitor = check.Kind == CheckKind.Ttl ? new TtlMonitor(check, time, OnExpired) : new ProbeMonitor(check, status, context);
        monitors[check.CheckId] = monitor;
        monitor.Start();
    }

    /// <summary>Ends a monitor without waiting for it here (the store's lock may be held); <see cref="DisposeAsync"/> waits.</summary>
    private void End(CheckMonitor monitor)
    {
        var task = Task.Run(async () => await monitor.DisposeAsync());
        ending[monitor] = task;
        _ = task.ContinueWith(_ => ending.TryRemove(monitor, out var _), CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
    }

    private void OnExpired(CheckDefinition check)
    {
        var last = store.Current.Nodes[store.Current.AgentNode].Checks.GetValueOrDefault(check.CheckId)?.Output ?? "";
        var said = last.Length == 0 || last.StartsWith("TTL expired", StringComparison.Ordinal) ? "" : $" (last output before timeout follows): {last}";
        Set(check, CheckStatus.Critical, $"TTL expired{said}");
    }

    /// <summary>A probe's new words alone are not news: they would wake every watcher of the service at every try.</summary>
    private void OnProbed(CheckDefinition check, ProbeResult result)
    {
        var state = store.Current;
        var known = state.Nodes[state.AgentNode].Checks.GetValueOrDefault(check.CheckId);
        if (known is not null && (known.Status != result.Status || known.Output.Length == 0)) Set(check, result.Status, result.Output);
    }

    private void Set(CheckDefinition check, string status, string output)
    {
        var changed = store.Change(draft =>
        {
            // The check may have been removed or replaced while its last try ran.
            if (draft.State.AgentChecks.GetValueOrDefault(check.CheckId) != check) return false;
            var node = draft.State.AgentNode;
            var isNews = draft.State.Nodes[node].Checks.GetValueOrDefault(check.CheckId)?.Status != status;
            draft.SetCheckStatus(node, check.CheckId, status, output);
            return isNews;
        });
        if (changed && log.IsEnabled(LogLevel.Information)) log.LogInformation("check changed check={Check} status={Status}", check.CheckId, status);
    }

    private void Reap()
    {
        var state = store.Current;
        var node = state.Nodes[state.AgentNode];
        foreach (var (id, check) in state.AgentChecks)
        {
            if (check.DeregisterAfter == TimeSpan.Zero) continue;
            if (node.Checks.GetValueOrDefault(id) is not { Status: CheckStatus.Critical, ServiceId.Length: > 0 } entry)
            {
                criticalSince.TryRemove(id, out _);
                continue;
            }

            var now = time.GetUtcNow();
            if (now - criticalSince.GetOrAdd(id, now) < check.DeregisterAfter) continue;
            if (!RemoveIfStillCritical(state.AgentNode, entry)) continue;
            log.LogWarning("service deregistered: critical for too long service={Service} check={Check} after={After}", entry.ServiceId, id, check.DeregisterAfter);
        }
    }

    private bool RemoveIfStillCritical(string node, CheckEntry check) => store.Change(draft =>
    {
        if (draft.State.Nodes[node].Checks.GetValueOrDefault(check.Id) is not { Status: CheckStatus.Critical } now || now.ServiceId != check.ServiceId) return false;
        draft.RemoveService(node, check.ServiceId);
        return true;
    });
}
