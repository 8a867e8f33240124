using System.Text.Json;
using Mesh.EndToEnd.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Interop;

/// <summary>Everything the control plane emits, read by the official protos and held to their validate rules.</summary>
public sealed class SchemaGateTests
{
    private const string Rules = """
        apiVersion: gateway.networking.k8s.io/v1
        kind: HTTPRoute
        metadata: { name: shop, namespace: default }
        spec:
          parentRefs: [{ kind: Service, group: "", name: web, port: 80 }]
          rules:
          - matches:
            - { path: { type: Exact, value: /exact }, method: POST }
            - { path: { type: RegularExpression, value: "/r/[0-9]+" } }
            - { path: { type: PathPrefix, value: /prefix }, headers: [{ name: x-a, value: b }, { name: x-r, type: RegularExpression, value: "a.*" }], queryParams: [{ name: q, value: v }] }
            backendRefs: [{ name: web, port: 80, weight: 90 }, { name: missing, port: 80, weight: 10 }]
            timeouts: { request: 10s, backendRequest: 2s }
            retry: { codes: [500, 503], attempts: 3, backoff: 100ms }
          - backendRefs: [{ name: web, port: 80 }]
        ---
        apiVersion: v1
        kind: Service
        metadata: { name: db, namespace: default }
        spec: { ports: [{ name: tcp, port: 5432, appProtocol: tcp }, { name: any, port: 7000 }, { name: grpc, port: 7070, appProtocol: grpc }] }
        ---
        apiVersion: discovery.k8s.io/v1
        kind: EndpointSlice
        metadata: { name: db-1, namespace: default, labels: { kubernetes.io/service-name: db } }
        addressType: IPv4
        ports: [{ name: tcp, port: 15432 }, { name: any, port: 17000 }, { name: grpc, port: 17070 }]
        endpoints: [{ addresses: ["10.1.2.3"] }, { addresses: ["10.1.2.4"], conditions: { ready: false } }]
        """;

    private const string Sidecar = """
        {"id": "sidecar~127.0.0.1~web-1~default", "cluster": "web", "user_agent_name": "mesh-sidecar", "metadata": {"mesh": {
          "service": "web", "namespace": "default", "version": "v1", "workload": "web-1", "labels": {},
          "ports": [{"port": 8080, "name": "http", "protocol": "http", "listen": "127.0.0.1:41000"},
                    {"port": 8081, "name": "any", "protocol": "", "listen": "127.0.0.1:41001"},
                    {"port": 8082, "name": "grpc", "protocol": "grpc", "listen": "127.0.0.1:41002"},
                    {"port": 8083, "name": "tcp", "protocol": "tcp", "listen": "127.0.0.1:41003"}],
          "outbound": "127.0.0.1:15001",
          "upstreams": [{"service": "db", "port": 5432, "listen": "127.0.0.1:9191"}, {"service": "web", "listen": "127.0.0.1:9192"}],
          "discover": "all"}}}
        """;

    private const string Grpc = """
        {"id": "g", "cluster": "g", "user_agent_name": "gRPC Node Pure JS", "grpc": ["web", "web.default", "db:7070", "web.default.svc.cluster.local:80"]}
        """;

    [SkippableTheory]
    [InlineData(Sidecar, 7, 2)]
    [InlineData(Grpc, 4, 1)]
    public async Task Every_resource_is_valid_by_the_official_protos(string node, int listeners, int clusters)
    {
        await NodePackages.RequireAsync();
        await using var bed = await MeshTestbed.StartPlaintextAsync();
        await bed.RunAsync(async () =>
        {
            await bed.ControlPlane.RegisterAsync("web", "web-1", 8080);
            await bed.ControlPlane.WriteRuleAsync("shop.yaml", Rules);
            using var folder = new TemporaryFolder();
            await File.WriteAllTextAsync(folder["node.json"], node);
            await Eventually.PassesAsync(async () =>
            {
                await using var gate = NodePackages.Start("schema-gate.js", [bed.ControlPlane.Xds, folder["node.json"]]);
                var answer = JsonDocument.Parse(await gate.NextLineAsync()).RootElement;
                Assert.Empty(answer.GetProperty("errors").EnumerateArray().Select(e => e.GetString()));
                Assert.Equal(listeners, answer.GetProperty("counts").GetProperty("lds").GetInt32());
                Assert.InRange(answer.GetProperty("counts").GetProperty("cds").GetInt32(), clusters, int.MaxValue);
                Assert.InRange(answer.GetProperty("counts").GetProperty("rds").GetInt32(), 1, int.MaxValue);
                Assert.InRange(answer.GetProperty("counts").GetProperty("eds").GetInt32(), 1, int.MaxValue);
            });
        });
    }
}
