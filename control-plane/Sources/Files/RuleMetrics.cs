using System.Diagnostics.Metrics;

namespace Mesh.ControlPlane.Sources.Files;

/// <summary>Instruments of the rule files. Thread safe; lives as long as the source.</summary>
internal sealed class RuleMetrics : IDisposable
{
    private readonly Meter meter = new("Mesh.ControlPlane");
    private readonly Counter<long> loads;

    public RuleMetrics(Func<RuleStatus> status)
    {
        loads = meter.CreateCounter<long>("mesh_rules_loads_total", description: "Times the rule files were read after a change, by result (good, wrong).");
        meter.CreateObservableGauge("mesh_rules_errors", () => status().Errors.Length, description: "Errors in the newest rule files; while there are any, the last good set serves.");
        meter.CreateObservableGauge("mesh_rules_files", () => status().Files, description: "Files of the set that serves.");
        meter.CreateObservableGauge(
            "mesh_rules_serving_since_seconds",
            () => status().ServingSince?.ToUnixTimeSeconds() ?? 0,
            description: "When the set that serves was taken, as Unix time.");
    }

    public void Loaded(bool good) => loads.Add(1, new KeyValuePair<string, object?>("result", good ? "good" : "wrong"));

    public void Dispose() => meter.Dispose();
}
