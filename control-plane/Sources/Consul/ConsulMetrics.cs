using System.Diagnostics.Metrics;

namespace Mesh.ControlPlane.Sources.Consul;

/// <summary>Instruments of the Consul source. Thread safe; lives as long as the source.</summary>
internal sealed class ConsulMetrics : IDisposable
{
    private readonly Meter meter = new(ControlPlaneMeter.Name);
    private readonly Counter<long> answers;
    private readonly Counter<long> failures;
    private readonly Counter<long> held;
    private readonly Gauge<int> followed;
    private readonly Gauge<int> holding;

    public ConsulMetrics()
    {
        answers = meter.CreateCounter<long>("mesh_consul_answers_total", description: "Answers about services of Consul.");
        failures = meter.CreateCounter<long>("mesh_consul_failures_total", description: "Questions about services that Consul did not answer well.");
        held = meter.CreateCounter<long>("mesh_consul_empty_held_total", description: "Times a service suddenly without instances kept its last ones for a while.");
        followed = meter.CreateGauge<int>("mesh_consul_services", description: "Services followed in Consul, by how.");
        holding = meter.CreateGauge<int>("mesh_consul_services_held", description: "Services whose empty answer is not believed yet.");
    }

    public void Answered() => answers.Add(1);

    public void Failed() => failures.Add(1);

    public void Held() => held.Add(1);

    public void Followed(int watched, int polled, int held)
    {
        followed.Record(watched, new KeyValuePair<string, object?>("mode", "watched"));
        followed.Record(polled, new KeyValuePair<string, object?>("mode", "polled"));
        holding.Record(held);
    }

    public void Dispose() => meter.Dispose();
}
