using System.Text.Json;
using Mesh.EndToEnd.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Traffic;

/// <summary>The control plane's own metrics reach an OpenTelemetry Collector.</summary>
public sealed class ControlPlaneExportTests
{
    [SkippableFact]
    public async Task Metrics_of_the_control_plane_reach_a_collector()
    {
        await using var collector = await OtelCollector.StartAsync();
        await using var plane = await ControlPlaneProcess.StartAsync(new ControlPlaneShape { More = ["--otlp", collector.Http, "--replica-id", "exporting-one"] });
        await plane.RegisterAsync("web", "web-1", 8080);
        await using (await SidecarProcess.StartAsync("client-1", await plane.JoinTokenAsync("client"), ["--control-plane", plane.MeshApi, "--service", "client"]))
        {
        }

        // What is left is sent at the end; until then once a minute.
        await plane.StopAsync();
        var received = await collector.ReceivesAsync("mesh-control-plane", "exporting-one", "mesh_xds_pushes_total", "mesh_registry_up");
        Assert.True(Sum(received, "mesh_xds_pushes_total") >= 4, received);
    }

    private static long Sum(string received, string metric)
    {
        var sum = 0L;
        foreach (var line in received.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            using var json = JsonDocument.Parse(line);
            foreach (var one in json.RootElement.GetProperty("resourceMetrics").EnumerateArray()
                .SelectMany(r => r.GetProperty("scopeMetrics").EnumerateArray()).SelectMany(s => s.GetProperty("metrics").EnumerateArray()))
            {
                if (one.GetProperty("name").GetString() != metric) continue;
                sum += one.GetProperty("sum").GetProperty("dataPoints").EnumerateArray().Sum(p => long.Parse(p.GetProperty("asInt").GetString()!, System.Globalization.CultureInfo.InvariantCulture));
            }
        }

        return sum;
    }
}
