using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace Mesh.ControlPlane.Xds;

/// <summary>Instruments of the xDS server. Thread safe; lives as long as the server.</summary>
internal sealed class XdsMetrics : IDisposable
{
    private readonly Meter meter = new("Mesh.ControlPlane");
    private readonly Counter<long> pushes;
    private readonly Counter<long> nacks;
    private readonly Counter<long> ended;
    private readonly Counter<long> denied;
    private readonly Counter<long> disbelieved;
    private readonly Histogram<double> convergence;

    public XdsMetrics(Func<int> connected)
    {
        pushes = meter.CreateCounter<long>("mesh_xds_pushes_total", description: "Responses sent to nodes, by resource type.");
        nacks = meter.CreateCounter<long>("mesh_xds_nacks_total", description: "Responses nodes refused, by resource type.");
        ended = meter.CreateCounter<long>("mesh_xds_streams_ended_total", description: "xDS streams that ended, by reason.");
        denied = meter.CreateCounter<long>("mesh_xds_refused_total", description: "xDS streams refused because the node's identity does not allow what it asks for, by reason.");
        disbelieved = meter.CreateCounter<long>("mesh_xds_addresses_disbelieved_total", description: "Captured nodes that connected and whose address is neither the one they were seen at nor granted.");
        meter.CreateObservableGauge("mesh_xds_connected_nodes", connected, description: "xDS streams that are open.");
        convergence = meter.CreateHistogram<double>(
            "mesh_xds_convergence_seconds",
            unit: "s",
            description: "Time from a change to the last acknowledgement of a node that it concerns.",
            advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30] });
    }

    public void Pushed(ResourceKind kind) => pushes.Add(1, Tag("type", kind.ShortName));

    public void Refused(ResourceKind kind) => nacks.Add(1, Tag("type", kind.ShortName));

    public void Converged(TimeSpan after) => convergence.Record(after.TotalSeconds);

    public void Ended(string reason) => ended.Add(1, Tag("reason", reason));

    public void Denied(string reason) => denied.Add(1, Tag("reason", reason));

    public void Disbelieved() => disbelieved.Add(1);

    public void Dispose() => meter.Dispose();

    private static TagList Tag(string key, string value) => new() { { key, value } };
}
