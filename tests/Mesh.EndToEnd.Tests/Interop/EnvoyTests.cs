using System.Net;
using Mesh.EndToEnd.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Interop;

/// <summary>A real Envoy whose only configuration is our control plane carries traffic in both directions.</summary>
public sealed class EnvoyTests
{
    [SkippableFact]
    public async Task Envoy_carries_traffic_out_and_in_and_follows_a_rule()
    {
        var envoy = ExternalProgram.Require("envoy");
        await using var bed = await MeshTestbed.StartPlaintextAsync();
        await bed.RunAsync(async () =>
        {
            await using var web = await EchoApp.StartAsync("web-app");
            await using var other = await EchoApp.StartAsync("other-app");
            var (outbound, inbound) = (FreePorts.One(), FreePorts.One());
            await bed.ControlPlane.RegisterAsync("web", "web-1", inbound, ("protocol", "http"));
            await bed.ControlPlane.RegisterAsync("other", "other-1", other.Port, ("protocol", "http"));
            using var folder = new TemporaryFolder();
            await File.WriteAllTextAsync(folder["envoy.yaml"], Bootstrap(bed.ControlPlane.Xds, web.Port, outbound, inbound));
            await using var process = ChildProcess.Start(envoy,
                ["-c", folder["envoy.yaml"], "--use-dynamic-base-id", "--concurrency", "1", "--admin-address-path", folder["admin"], "--log-level", "warn"]);
            using var http = new HttpClient(new SocketsHttpHandler { Proxy = new WebProxy($"http://127.0.0.1:{outbound}"), UseProxy = true });
            await Eventually.PassesAsync(async () =>
            {
                process.MustRun();
                Assert.Equal("web-app GET /hello", await http.GetStringAsync("http://web/hello"));
            });
            Assert.Equal("other-app GET /", await http.GetStringAsync("http://other.default.svc.cluster.local/"));

            await bed.ControlPlane.WriteRuleAsync("web.yaml", """
                apiVersion: gateway.networking.k8s.io/v1
                kind: HTTPRoute
                metadata: { name: web }
                spec:
                  parentRefs: [{ kind: Service, group: "", name: web }]
                  rules:
                  - matches: [{ headers: [{ name: x-canary, value: "1" }] }]
                    backendRefs: [{ name: other, port: 80 }]
                  - backendRefs: [{ name: web, port: 80 }]
                """);
            await Eventually.PassesAsync(async () =>
            {
                using var request = new HttpRequestMessage(HttpMethod.Get, "http://web/") { Headers = { { "x-canary", "1" } } };
                using var answer = await http.SendAsync(request);
                Assert.Equal("other-app GET /", await answer.Content.ReadAsStringAsync());
            });
            Assert.Equal("web-app GET /", await http.GetStringAsync("http://web/"));

            using var admin = new HttpClient { BaseAddress = new Uri($"http://{(await File.ReadAllTextAsync(folder["admin"])).Trim()}") };
            Assert.Equal("LIVE\n", await admin.GetStringAsync("/ready"));
            var rejected = (await admin.GetStringAsync("/stats?filter=update_rejected")).Split('\n', StringSplitOptions.RemoveEmptyEntries);
            Assert.NotEmpty(rejected);
            Assert.All(rejected, line => Assert.EndsWith(": 0", line, StringComparison.Ordinal));
        });
    }

    [SkippableFact]
    public async Task Envoy_takes_captured_listeners_with_names_that_got_virtual_addresses()
    {
        var envoy = ExternalProgram.Require("envoy");
        await using var bed = await MeshTestbed.StartPlaintextAsync();
        await bed.RunAsync(async () =>
        {
            await using var other = await EchoApp.StartAsync("other-app");
            var (outbound, inbound) = (FreePorts.One(), FreePorts.One());
            await bed.ControlPlane.RegisterAsync("other", "other-1", other.Port, ("protocol", "http"));
            await bed.ControlPlane.RegisterAsync("odd", "odd-1", 7000);
            await bed.ControlPlane.RegisterAsync("db", "db-1", 5432, ("protocol", "tcp"));
            using var folder = new TemporaryFolder();
            var capture = $$"""capture: { mode: redirect, dns: false, outbound: ["127.0.0.1:{{outbound}}", "[::1]:{{outbound}}"], inbound: ["127.0.0.1:{{inbound}}", "[::1]:{{inbound}}"] }""";
            await File.WriteAllTextAsync(folder["envoy.yaml"], Bootstrap(bed.ControlPlane.Xds, 8080, outbound, inbound)
                .Replace($", listen: \"127.0.0.1:{inbound}\"", "", StringComparison.Ordinal).Replace("discover: all", capture, StringComparison.Ordinal));
            await using var process = ChildProcess.Start(envoy,
                ["-c", folder["envoy.yaml"], "--use-dynamic-base-id", "--concurrency", "1", "--admin-address-path", folder["admin"], "--log-level", "warn"]);
            foreach (var loopback in new[] { "127.0.0.1", "[::1]" })
            {
                // Not redirected: whoever connects to the socket itself uses it as a proxy.
                using var http = new HttpClient(new SocketsHttpHandler { Proxy = new WebProxy($"http://{loopback}:{outbound}"), UseProxy = true });
                await Eventually.PassesAsync(async () =>
                {
                    process.MustRun();
                    Assert.Equal("other-app GET /hello", await http.GetStringAsync("http://other/hello"));
                });
            }

            using var admin = new HttpClient { BaseAddress = new Uri($"http://{(await File.ReadAllTextAsync(folder["admin"])).Trim()}") };
            await Eventually.PassesAsync(async () =>
            {
                var dump = await admin.GetStringAsync("/config_dump?resource=dynamic_listeners");
                foreach (var name in new[] { "outbound", "outbound6", "inbound", "inbound6" }) Assert.Contains($"\"name\": \"{name}\"", dump, StringComparison.Ordinal);
                Assert.Contains("|any|tcp", dump, StringComparison.Ordinal);
                Assert.Contains("fd6d:6573:6800:", dump, StringComparison.Ordinal);
                Assert.Contains("\"8080|http\"", dump, StringComparison.Ordinal);
                Assert.DoesNotContain("error_state", dump, StringComparison.Ordinal);
            });
            var rejected = (await admin.GetStringAsync("/stats?filter=update_rejected")).Split('\n', StringSplitOptions.RemoveEmptyEntries);
            Assert.NotEmpty(rejected);
            Assert.All(rejected, line => Assert.EndsWith(": 0", line, StringComparison.Ordinal));
        });
    }

    private static string Bootstrap(string xds, int app, int outbound, int inbound) => $$"""
        node:
          id: sidecar~127.0.0.1~web-1~default
          cluster: web
          metadata:
            mesh:
              service: web
              namespace: default
              version: v1
              workload: web-1
              labels: {}
              discover: all
              outbound: "127.0.0.1:{{outbound}}"
              ports: [ { port: {{app}}, name: http, protocol: http, listen: "127.0.0.1:{{inbound}}" } ]
        admin: { address: { socket_address: { address: 127.0.0.1, port_value: 0 } } }
        dynamic_resources:
          ads_config: { api_type: GRPC, transport_api_version: V3, grpc_services: [ { envoy_grpc: { cluster_name: mesh-xds } } ] }
          lds_config: { ads: { }, resource_api_version: V3 }
          cds_config: { ads: { }, resource_api_version: V3 }
        static_resources:
          clusters:
          - name: mesh-xds
            type: STATIC
            typed_extension_protocol_options:
              envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
                "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
                explicit_http_config: { http2_protocol_options: { } }
            load_assignment:
              cluster_name: mesh-xds
              endpoints:
              - lb_endpoints:
                - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: {{xds.Split(':')[1]}} } } }
        """;
}
