using System.Diagnostics.Metrics;
using Mesh.Api.Logging;
using Mesh.ControlPlane.Sources.Consul;

namespace Mesh.ControlPlane.Sources.Workloads;

/// <summary>Log lines and instruments of writing workloads into the registry. Thread safe; lives as long as <see cref="WorkloadRegistry"/>.</summary>
internal sealed class KeeperEvents : IDisposable
{
    private readonly Meter meter = new(ControlPlaneMeter.Name);
    private readonly Counter<long> writes;
    private readonly Counter<long> conflicts;
    private readonly Counter<long> failures;
    private readonly Counter<long> collected;
    private readonly Log log;

    public KeeperEvents(WorkloadRegistrations registrations, Log log)
    {
        this.log = log;
        writes = meter.CreateCounter<long>("mesh_registry_writes_total", description: "Workload entries written into the registry.");
        conflicts = meter.CreateCounter<long>("mesh_registry_conflicts_total", description: "Writes refused because somebody else had written meanwhile.");
        failures = meter.CreateCounter<long>("mesh_registry_failures_total", description: "Calls about workload entries that the registry did not answer well.");
        collected = meter.CreateCounter<long>("mesh_registry_orphans_collected_total", description: "Entries of control planes that are gone, removed because their workloads did not come back.");
        meter.CreateObservableGauge("mesh_workloads", () => Workloads(registrations), description: "Workloads registered at this control plane, by state.");
    }

    public void Written() => writes.Add(1);

    public void Conflicted() => conflicts.Add(1);

    public void Failed(string id, ConsulException error, int inARow)
    {
        failures.Add(1);
        // The first failure, then ever more rarely: a registry that is away for hours is no reason for a million lines.
        if (inARow == 1 || (inARow & (inARow - 1)) == 0 && inARow >= 8)
            log.Warn("the registry does not take a workload's entry; it is tried again", ("workload", id), ("failures", inARow), ("error", error.Message));
    }

    public void Collected(string id, string owner)
    {
        collected.Add(1);
        log.Info("the entry of a workload whose control plane is gone is removed", ("workload", id), ("owner", owner));
    }

    public void Dispose() => meter.Dispose();

    private static Measurement<int>[] Workloads(WorkloadRegistrations registrations)
    {
        var (connected, inGrace) = registrations.Count();
        return
        [
            new Measurement<int>(connected, new KeyValuePair<string, object?>("state", "connected")),
            new Measurement<int>(inGrace, new KeyValuePair<string, object?>("state", "grace")),
        ];
    }
}
