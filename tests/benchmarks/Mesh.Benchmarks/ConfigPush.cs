using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Json;
using System.Text.Json;
using Envoy.Config.Endpoint.V3;
using Mesh.Api.Xds;

namespace Mesh.Benchmarks;

/// <summary>
/// Bench <c>config</c>: how long a change takes from a saved rule file, or a registered instance, to the ACK of 1, 10 and 100 nodes,
/// and what the control plane's memory is with 1,000 services of 10 endpoints.
/// </summary>
internal sealed class ConfigPush(int rounds)
{
    public const string Name = "config";
    private readonly string folder = Directory.CreateTempSubdirectory("mesh-bench-").FullName;

    public async Task<IReadOnlyList<Figure>> RunAsync()
    {
        var figures = new List<Figure>();
        foreach (var nodes in new[] { 1, 10, 100 }) figures.AddRange(await ChangesAsync(nodes));
        figures.AddRange(await MemoryAsync());
        return figures;
    }

    private async Task<IEnumerable<Figure>> ChangesAsync(int count)
    {
        using var plane = ControlPlane.Start(folder, $"changes-{count}");
        using var http = new HttpClient();
        await RegisterAsync(http, plane.Registry, "canary-v1", "v1", 9001);
        await RegisterAsync(http, plane.Registry, "canary-v2", "v2", 9002);
        plane.WriteRule(Rule(1));
        using var stop = new CancellationTokenSource();
        var nodes = Enumerable.Range(0, count).Select(n => new AdsNode(plane.Xds, n)).ToList();
        var first = nodes.Select(n => n.AckOf(r => HasWeight(r, 1))).ToList();
        var loops = nodes.Select(n => n.RunAsync(stop.Token)).ToList();
        await Task.WhenAll(first).WaitAsync(TimeSpan.FromSeconds(30));

        var rules = new List<double>();
        var instances = new List<double>();
        for (var round = 0; round < rounds * 4; round++)
        {
            var weight = 2 + round;
            rules.AddRange(await MeasureAsync(nodes, r => HasWeight(r, weight), () => { plane.WriteRule(Rule(weight)); return Task.CompletedTask; }));
            var port = 20000 + round;
            instances.AddRange(await MeasureAsync(nodes, r => HasEndpoint(r, port), () => RegisterAsync(http, plane.Registry, "canary-v1", $"i{round}", port)));
        }

        await stop.CancelAsync();
        foreach (var node in nodes) await node.DisposeAsync();
        await Task.WhenAll(loops.Select(l => l.ContinueWith(_ => { }, TaskScheduler.Default)));
        return
        [
            new(Name, "none", $"rule_to_ack_ms_p50_{count}", Stats.Median(rules), null),
            new(Name, "none", $"rule_to_ack_ms_p99_{count}", Stats.Percentile(rules, 0.99), null),
            new(Name, "none", $"instance_to_ack_ms_p50_{count}", Stats.Median(instances), null),
            new(Name, "none", $"instance_to_ack_ms_p99_{count}", Stats.Percentile(instances, 0.99), null),
        ];
    }

    private async Task<IEnumerable<Figure>> MemoryAsync()
    {
        using var plane = ControlPlane.Start(folder, "memory");
        using var http = new HttpClient();
        for (var service = 0; service < 1000; service++)
        {
            for (var batch = 0; batch < 10; batch++) await RegisterAsync(http, plane.Registry, $"service-{service}", $"i{batch}", 10000 + batch);
        }

        using var stop = new CancellationTokenSource();
        await using var node = new AdsNode(plane.Xds, 0);
        var all = node.AckOf(r => r.TypeUrl == TypeUrls.ClusterLoadAssignment && HasEndpoint(r, 10009));
        var loop = node.RunAsync(stop.Token);
        await all.WaitAsync(TimeSpan.FromSeconds(120));
        await Task.Delay(TimeSpan.FromSeconds(5));
        var (rss, own) = plane.Subject.Memory();
        await stop.CancelAsync();
        await loop.ContinueWith(_ => { }, TaskScheduler.Default);
        return [new(Name, "none", "control_plane_rss_mb_1000x10", rss, null), new(Name, "none", "control_plane_private_mb_1000x10", own, null)];
    }

    private static async Task<IEnumerable<double>> MeasureAsync(
        List<AdsNode> nodes, Func<Envoy.Service.Discovery.V3.DiscoveryResponse, bool> wanted, Func<Task> change)
    {
        var acks = nodes.Select(n => n.AckOf(wanted)).ToList();
        var start = Stopwatch.GetTimestamp();
        await change();
        var ends = await Task.WhenAll(acks).WaitAsync(TimeSpan.FromSeconds(30));
        return ends.Select(e => Stopwatch.GetElapsedTime(start, e).TotalMilliseconds);
    }

    private static async Task RegisterAsync(HttpClient http, string registry, string service, string instance, int port)
    {
        var body = new { ID = $"{service}-{instance}", Name = service, Address = "127.0.0.1", Port = port };
        using var answer = await http.PutAsync(new Uri($"http://{registry}/v1/agent/service/register"), JsonContent.Create(body, options: JsonSerializerOptions.Default));
        answer.EnsureSuccessStatusCode();
    }

    private static bool HasWeight(Envoy.Service.Discovery.V3.DiscoveryResponse response, int weight) =>
        response.TypeUrl == TypeUrls.RouteConfiguration
        && response.Resources.Select(r => r.Unpack<Envoy.Config.Route.V3.RouteConfiguration>()).SelectMany(c => c.VirtualHosts).SelectMany(v => v.Routes)
            .Any(r => r.Route_?.WeightedClusters?.Clusters.Any(c => c.Weight == weight) == true);

    private static bool HasEndpoint(Envoy.Service.Discovery.V3.DiscoveryResponse response, int port) =>
        response.TypeUrl == TypeUrls.ClusterLoadAssignment
        && response.Resources.Select(r => r.Unpack<ClusterLoadAssignment>()).SelectMany(a => a.Endpoints).SelectMany(l => l.LbEndpoints)
            .Any(e => e.Endpoint.Address.SocketAddress.PortValue == port);

    private static string Rule(int weight) => string.Create(CultureInfo.InvariantCulture, $"""
        apiVersion: gateway.networking.k8s.io/v1
        kind: HTTPRoute
        metadata: {"{"} name: canary, namespace: default {"}"}
        spec:
          parentRefs: [ {"{"} kind: Service, group: "", name: canary-v1 {"}"} ]
          rules:
          - backendRefs:
            - {"{"} name: canary-v1, port: 80, weight: 1000 {"}"}
            - {"{"} name: canary-v2, port: 80, weight: {weight} {"}"}
        """);
}
