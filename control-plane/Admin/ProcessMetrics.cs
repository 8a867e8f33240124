using System.Diagnostics;
using System.Diagnostics.Metrics;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Admin;

/// <summary>Gauges of the process and of the world. Thread safe; lives as long as the program.</summary>
internal sealed class ProcessMetrics : IDisposable
{
    private readonly Meter meter = new("Mesh.ControlPlane");

    public ProcessMetrics(WorldStore store, string version)
    {
        using var self = Process.GetCurrentProcess();
        var started = new DateTimeOffset(self.StartTime).ToUnixTimeMilliseconds() / 1000.0;
        meter.CreateObservableGauge("mesh_build_info", () => new Measurement<int>(1, new KeyValuePair<string, object?>("version", version)), description: "Version of the control plane.");
        meter.CreateObservableGauge("process_start_time_seconds", () => started, description: "Start time of the process since the epoch.");
        meter.CreateObservableGauge("process_resident_memory_bytes", () => Environment.WorkingSet, description: "Resident memory.");
        meter.CreateObservableCounter("process_cpu_seconds_total", () => Environment.CpuUsage.TotalTime.TotalSeconds, description: "CPU time used.");
        meter.CreateObservableGauge("mesh_world_version", () => store.Current.Version, description: "Version of the world, grows with each change.");
        meter.CreateObservableGauge("mesh_world_services", () => store.Current.Services.Count, description: "Services known.");
        meter.CreateObservableGauge("mesh_world_instances", () => store.Current.Instances.Count, description: "Instances known.");
        meter.CreateObservableGauge("mesh_world_endpoints", () => store.Current.Services.Values.Sum(s => s.Ports.Sum(p => p.Endpoints.Length)), description: "Endpoints of all ports of all services.");
        meter.CreateObservableGauge("mesh_world_notices", () => store.Current.AllNotices.Length, description: "Things that are odd but not wrong, see /debug/world.");
    }

    public void Dispose() => meter.Dispose();
}
