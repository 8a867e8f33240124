using System.Diagnostics.Metrics;

namespace Mesh.ControlPlane.Sources;

/// <summary>A counter of refusals by reason. Thread safe; disposed with what refuses.</summary>
internal sealed class RefusalMeter : IDisposable
{
    private readonly Meter meter = new(ControlPlaneMeter.Name);
    private readonly Counter<long> counter;

    public RefusalMeter(string name, string description) => counter = meter.CreateCounter<long>(name, description: description);

    public void Count(string reason) => counter.Add(1, new KeyValuePair<string, object?>("reason", reason));

    public void Dispose() => meter.Dispose();
}
