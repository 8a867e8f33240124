using System.Net.Http.Json;
using Envoy.Config.Endpoint.V3;
using Envoy.Config.Route.V3;
using Envoy.Service.Discovery.V3;
using Mesh.Api.Grpc;
using Mesh.Api.Operators;
using Mesh.Api.Telemetry;
using Mesh.Api.V1;
using Mesh.Api.Workloads;
using Mesh.ControlPlane.Tests.Identity;
using Mesh.ControlPlane.Tests.Xds;
using Mesh.Tests;

namespace Mesh.ControlPlane.Tests;

/// <summary>The whole control plane as users meet it: rule files and a registry on one side, nodes and operators on the other.</summary>
public sealed class WholeTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("mesh-whole-").FullName;
    private HttpClient http = new();

    private string Rules => Directory.CreateDirectory(Path.Combine(folder, "rules")).FullName;

    public void Dispose()
    {
        http.Dispose();
        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public async Task A_rule_file_and_a_registered_instance_reach_a_node()
    {
        WriteRule(weight: 10);
        await using var program = await StartAsync();
        await RegisterAsync(program, "web-v1", 9001);
        await RegisterAsync(program, "web-v2", 9002);
        using var channel = new GrpcChannel(program.Addresses["xds"]);
        await using var client = new AdsClient(channel);
        var node = new Follower(client);

        await Eventually.HoldsAsync(() => node.Weights().SequenceEqual([90, 10]), "the rule's weights");
        await Eventually.HoldsAsync(() => node.Ports("web-v2").SequenceEqual([9002]), "the instance");
        WriteRule(weight: 50);
        await Eventually.HoldsAsync(() => node.Weights().SequenceEqual([90, 50]), "the changed weights");
        await RegisterAsync(program, "web-v2", 9003);
        await Eventually.HoldsAsync(() => node.Ports("web-v2").SequenceEqual([9002, 9003]), "the second instance");

        // The view is ahead of the acknowledgement: what the node already knows, the control plane may still be hearing back.
        ConfigDump? dump = null;
        await Eventually.PassesAsync(async () =>
        {
            dump = await http.GetFromJsonAsync($"http://{program.Addresses["operators"]}{OperatorsApi.Config}?node=sidecar~127.0.0.1~test-1~default", OperatorsJson.Default.ConfigDump);
            Assert.All(dump!.Node.Subscriptions, s => Assert.Equal(s.Sent, s.Acked));
        });
        Assert.NotEmpty(dump!.Node.Subscriptions);
        Assert.Contains(dump.Resources, r => r.Name == "outbound" && r.Resource.ToString().Contains("web.yaml:", StringComparison.Ordinal));

        // Ids are made up by whoever starts a sidecar; people know the service.
        var byService = await http.GetFromJsonAsync($"http://{program.Addresses["operators"]}{OperatorsApi.Config}?node=test", OperatorsJson.Default.ConfigDump);
        Assert.Equal(dump.Node.Id, byService!.Node.Id);
    }

    [Fact]
    public async Task A_bad_rule_file_changes_nothing_and_shows()
    {
        WriteRule(weight: 10);
        await using var program = await StartAsync();
        await RegisterAsync(program, "web-v1", 9001);
        await RegisterAsync(program, "web-v2", 9002);
        using var channel = new GrpcChannel(program.Addresses["xds"]);
        await using var client = new AdsClient(channel);
        var node = new Follower(client);
        await Eventually.HoldsAsync(() => node.Weights().SequenceEqual([90, 10]), "the rule's weights");

        File.WriteAllText(Path.Combine(Rules, "bad.yaml"), "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {ports: [{port: 99999}]}\n");
        await Eventually.HoldsAsync(async () => (await http.GetStringAsync(new Uri($"http://{program.Addresses["operators"]}/debug/world"))).Contains("bad.yaml", StringComparison.Ordinal), "the error");
        Assert.Contains("mesh_rules_errors 1", await http.GetStringAsync(new Uri($"http://{program.Addresses["health"]}/metrics")));
        Assert.Equal([90, 10], node.Weights());
        File.Delete(Path.Combine(Rules, "bad.yaml"));
        WriteRule(weight: 20);
        await Eventually.HoldsAsync(() => node.Weights().SequenceEqual([90, 20]), "the next good set");
    }

    [Fact]
    public async Task A_restart_takes_no_workload_away()
    {
        await using var mesh = await IdentityTestbed.StartAsync(o => o with { Rules = Rules });
        using var own = await mesh.JoinAsync("ns/default/sa/web-v1", "web-v1");
        using (var certified = mesh.Client(own))
        {
            await using var workload = certified.Channel.Open(WorkloadMethods.Register, default, CancellationToken.None);
            await workload.WriteAsync(new WorkloadUpdate { Register = Registration() }, CancellationToken.None);
            Assert.Equal(WorkloadAck.Types.Status.Accepted, (await workload.ReadAsync(CancellationToken.None))!.Status);
            await mesh.RestartAsync();
        }

        // Nobody has registered at the second one yet: what the first one wrote is what nodes are told.
        using var again = new GrpcChannel(mesh.Program.Addresses["xds"]);
        await using var client = new AdsClient(again);
        var node = new Follower(client);
        await Eventually.HoldsAsync(() => node.Ports("web-v1").Length > 0, "the workload");
        Assert.Equal([41000], node.FirstPorts("web-v1"));
    }

    [Fact]
    public async Task Reports_of_sidecars_become_edges_and_stat()
    {
        await using var mesh = await IdentityTestbed.StartAsync();
        using var own = await mesh.JoinAsync("ns/default/sa/shop", "shop");
        using var certified = mesh.Client(own);
        await using var reports = certified.Channel.Open(TelemetryMethods.Report, default, CancellationToken.None);
        var edge = new Edge
        {
            Source = new Edge.Types.Workload { Workload_ = "shop", Namespace = "default", Service = "shop", Identity = own.Id.ToString() },
            Destination = new Edge.Types.Workload { Workload_ = "cart", Namespace = "default", Service = "cart" },
            Reporter = "source",
            Protocol = "http",
            Requests = 10,
            Secured = true,
        };
        await reports.WriteAsync(new EdgeReport { NodeId = "sidecar~127.0.0.1~shop-1~default", Edges = { edge } }, CancellationToken.None);
        using var operators = ProgramTests.Operator(mesh.Program);
        await Eventually.HoldsAsync(
            async () => (await operators.GetFromJsonAsync($"http://{mesh.Program.Addresses["operators"]}{OperatorsApi.Edges}?window=30s", OperatorsJson.Default.EdgeList))!.Edges is [{ Traffic.Requests: 10 } seen]
                && seen.Secured && seen.Source.Identity == own.Id.ToString(),
            "the edge");
        reports.Complete();
        Assert.Equal(1UL, (await reports.ReadOnlyAsync(CancellationToken.None)).Reports);
    }

    [Fact]
    public async Task Plaintext_xds_carries_neither_registration_nor_telemetry()
    {
        await using var program = await StartAsync();
        using var channel = new GrpcChannel(program.Addresses["xds"]);
        await using var workload = channel.Open(WorkloadMethods.Register, default, CancellationToken.None);
        // Not written to: the answer does not wait for it, and may end the stream under a write.
        var refused = await Assert.ThrowsAsync<GrpcException>(() => workload.ReadAsync(CancellationToken.None).AsTask());
        Assert.Equal(GrpcStatusCode.Unimplemented, refused.Code);
        await using var reports = channel.Open(TelemetryMethods.Report, default, CancellationToken.None);
        Assert.Equal(GrpcStatusCode.Unimplemented, (await Assert.ThrowsAsync<GrpcException>(async () => await reports.ReadOnlyAsync(CancellationToken.None))).Code);
    }

    [SkippableFact]
    public async Task A_real_consul_is_a_registry_too()
    {
        await using var consul = await ConsulProcess.StartAsync();
        WriteRule(weight: 10);
        await using var program = await ProgramTests.StartAsync(o => o with { Consul = consul.Address, Rules = Rules });
        Assert.DoesNotContain("registry", program.Addresses.Keys);
        await RegisterAsync(consul.Address.Authority, "web-v1", 9001);
        await RegisterAsync(consul.Address.Authority, "web-v2", 9002);
        using var channel = new GrpcChannel(program.Addresses["xds"]);
        await using var client = new AdsClient(channel);
        var node = new Follower(client);
        await Eventually.HoldsAsync(() => node.Weights().SequenceEqual([90, 10]) && node.Ports("web-v2").SequenceEqual([9002]), "rule and instances");
    }

    private async Task<ControlPlaneProgram> StartAsync()
    {
        var program = await ProgramTests.StartAsync(o => o with { Data = Path.Combine(folder, "data"), Rules = Rules });
        http.Dispose();
        http = ProgramTests.Operator(program);
        return program;
    }

    private void WriteRule(int weight)
    {
        var draft = Path.Combine(folder, "draft");
        File.WriteAllText(draft, $$"""
            apiVersion: gateway.networking.k8s.io/v1
            kind: HTTPRoute
            metadata: {name: web}
            spec:
              parentRefs: [{group: "", kind: Service, name: web-v1}]
              rules:
              - backendRefs:
                - {name: web-v1, port: 80, weight: 90}
                - {name: web-v2, port: 80, weight: {{weight}}}
            """);
        File.Move(draft, Path.Combine(Rules, "web.yaml"), overwrite: true);
    }

    private Task RegisterAsync(ControlPlaneProgram program, string service, int port) => RegisterAsync(program.Addresses["registry"], service, port);

    private async Task RegisterAsync(string registry, string service, int port)
    {
        using var answer = await http.PutAsJsonAsync($"http://{registry}/v1/agent/service/register", new { ID = $"{service}-{port}", Name = service, Address = "127.0.0.1", Port = port });
        answer.EnsureSuccessStatusCode();
    }

    private static Registration Registration() => new()
    {
        Id = "web-1",
        Service = "web-v1",
        Namespace = "default",
        Workload = "web",
        Address = "127.0.0.1",
        Health = Health.Types.State.Passing,
        Ports = { new Port { Name = "http", Port_ = 8080, Protocol = "http", ListenAddress = "127.0.0.1", ListenPort = 41000 } },
    };

    /// <summary>Keeps what a node was told last.</summary>
    private sealed class Follower
    {
        private readonly Lock gate = new();
        private readonly Dictionary<string, int[]> ports = new(StringComparer.Ordinal);
        private readonly Dictionary<string, int[]> firstPorts = new(StringComparer.Ordinal);
        private int[] weights = [];

        public Follower(AdsClient client) => _ = client.FollowAsync(Take);

        public int[] Weights()
        {
            lock (gate) return weights;
        }

        public int[] Ports(string service)
        {
            lock (gate) return ports.GetValueOrDefault(service, []);
        }

        public int[] FirstPorts(string service)
        {
            lock (gate) return firstPorts.GetValueOrDefault(service, []);
        }

        private void Take(DiscoveryResponse response)
        {
            lock (gate)
            {
                foreach (var resource in response.Resources)
                {
                    if (resource.TryUnpack<RouteConfiguration>(out var routes)) weights = WeightsOf(routes);
                    if (!resource.TryUnpack<ClusterLoadAssignment>(out var endpoints)) continue;
                    var service = endpoints.ClusterName.Split('|')[^1].Split('.')[0];
                    ports[service] = [.. endpoints.Endpoints.SelectMany(l => l.LbEndpoints).Select(e => (int)e.Endpoint.Address.SocketAddress.PortValue).Order()];
                    firstPorts.TryAdd(service, ports[service]);
                }
            }
        }

        private static int[] WeightsOf(RouteConfiguration routes) =>
            [.. routes.VirtualHosts.SelectMany(v => v.Routes).Select(r => r.Route_?.WeightedClusters).FirstOrDefault(w => w is not null)?.Clusters.Select(c => (int)c.Weight!.Value) ?? []];
    }
}
