using System.Net.Http.Json;
using Mesh.EndToEnd.Tests.Testbed;
using Mesh.EndToEnd.Tests.Testbed.Network;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Captured;

/// <summary>
/// A mesh whose registry is a real Consul on a machine of its own: a service of the old world that only Consul knows (<c>legacy</c>), two captured instances of
/// <c>pods</c>, which has no address of its own, and a captured caller. Ends with its disposal.
/// </summary>
internal sealed class ConsulMachines : IAsyncDisposable
{
    private const string Headless = """
        apiVersion: v1
        kind: Service
        metadata: {name: pods, namespace: default}
        spec: {clusterIP: None, ports: [{name: http, port: 8080, appProtocol: http}, {name: mail, port: 2525}]}
        """;

    private ConsulMachines(CapturedMesh mesh, NetworkHost consul, ChildProcess agent) => (Mesh, Consul, Agent) = (mesh, consul, agent);

    /// <summary>All machines.</summary>
    public CapturedMesh Mesh { get; }

    /// <summary>The machine of Consul.</summary>
    public NetworkHost Consul { get; }

    /// <summary>Consul.</summary>
    public ChildProcess Agent { get; }

    /// <summary>A machine that no mesh knows, with HTTP on 8080 and a greeting on 2525.</summary>
    public required NetworkHost Legacy { get; init; }

    /// <summary>Who calls.</summary>
    public required CapturedWorkload Caller { get; init; }

    /// <summary>The instances of <c>pods</c>.</summary>
    public required CapturedWorkload[] Pods { get; init; }

    /// <summary>Starts all of it; skips the test where that cannot be.</summary>
    public static async Task<ConsulMachines> StartAsync()
    {
        var program = ExternalProgram.Require("consul");
        var network = NetworkTestbed.Create();
        try
        {
            var consul = network.Add("consul");
            var agent = consul.Start(0, program, ["agent", "-dev", "-bind", consul.Address, "-client", "0.0.0.0", "-node", "lab", "-log-level", "warn", "-hcl", "disable_update_check = true"]);
            var legacy = await LegacyAsync(network);
            using var http = consul.Http();
            await Eventually.PassesAsync(async () =>
            {
                agent.MustRun();
                Assert.Contains(":8300", await http.GetStringAsync($"http://{consul.Address}:8500/v1/status/leader"), StringComparison.Ordinal);
            });
            // As a script of the old world does it: one port of TCP, no sidecar.
            foreach (var (service, port) in ((string, int)[])[("legacy", 2525), ("legacy-web", 8080)])
            {
                var taken = await http.PutAsJsonAsync($"http://{consul.Address}:8500/v1/catalog/register", new
                {
                    Node = "legacy",
                    legacy.Address,
                    Service = new { ID = $"{service}-1", Service = service, legacy.Address, Port = port, Meta = new Dictionary<string, string> { ["protocol"] = service == "legacy" ? "tcp" : "http" } },
                });
                taken.EnsureSuccessStatusCode();
            }

            var mesh = await CapturedMesh.StartAsync(network, new ControlPlaneShape { Consul = new Uri($"http://{consul.Address}:8500") });
            await mesh.ControlPlane.WriteRuleAsync("pods.yaml", Headless);
            var pods = await Task.WhenAll(PodAsync(mesh, "pod-1", "redirect"), PodAsync(mesh, "pod-2", "tproxy"));
            var caller = await mesh.AddAsync("caller", "caller", new CaptureShape { KeepsState = true });
            await CapturedMesh.KnowsAsync(caller, pods);
            foreach (var service in (string[])["legacy", "legacy-web"]) await CapturedMesh.KnowsAsync(caller, service);
            return new ConsulMachines(mesh, consul, agent) { Legacy = legacy, Caller = caller, Pods = pods };
        }
        catch
        {
            await network.DisposeAsync();
            throw;
        }
    }

    public ValueTask DisposeAsync() => Mesh.DisposeAsync();

    private static async Task<NetworkHost> LegacyAsync(NetworkTestbed network)
    {
        var legacy = network.Add("legacy");
        legacy.Own(new Greeting(legacy, 2525, "legacy"));
        await legacy.ServeAsync("serving", CapturedShop.Python, CapturedMesh.Script("app.py"), "legacy", "8080");
        return legacy;
    }

    private static async Task<CapturedWorkload> PodAsync(CapturedMesh mesh, string name, string mode)
    {
        var pod = await mesh.AddAsync(name, "pods", new CaptureShape { Mode = mode, Ports = ["8080:http:http", "2525::mail"], KeepsState = true });
        await pod.Host.ServeAsync("serving", CapturedShop.Python, CapturedMesh.Script("app.py"), name, "8080");
        pod.Host.Own(new Greeting(pod.Host, 2525, name));
        return pod;
    }
}
