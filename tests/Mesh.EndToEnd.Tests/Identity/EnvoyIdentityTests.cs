using System.Net;
using Mesh.EndToEnd.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Identity;

/// <summary>
/// A real Envoy with an identity of the mesh: its certificate comes by SDS from an agent of ours, its configuration over mutual TLS, and it talks
/// mutual TLS with our sidecars in both directions.
/// </summary>
public sealed class EnvoyIdentityTests
{
    [SkippableTheory]
    [InlineData("agent")]
    [InlineData("sidecar")]
    public async Task Envoy_takes_its_certificate_by_sds_and_talks_mutual_tls_both_ways(string source)
    {
        var envoy = ExternalProgram.Require("envoy");
        await using var bed = await MeshTestbed.StartAsync();
        await bed.RunAsync(async () =>
        {
            using var folder = new TemporaryFolder();
            await ServeSecretsAsync(bed, source, folder["sds"]);
            await using var web = await EchoApp.StartAsync("web-app");
            var other = await bed.AddAsync("other", "other-1");
            var client = await bed.AddClientAsync();
            var (outbound, inbound) = (FreePorts.One(), FreePorts.One());
            await bed.ControlPlane.RegisterAsync("web", "web-1", inbound,
                ("protocol", "http"), ("mesh-identity", "spiffe://cluster.local/ns/default/sa/web"), ("mesh-ports", $"http:{web.Port}:http:{inbound}"));
            await File.WriteAllTextAsync(folder["envoy.yaml"], Bootstrap(bed.ControlPlane.MeshApi, folder["sds"], web.Port, outbound, inbound));
            await using var process = ChildProcess.Start(envoy,
                ["-c", folder["envoy.yaml"], "--use-dynamic-base-id", "--concurrency", "1", "--admin-address-path", folder["admin"], "--log-level", "warn"]);

            using var intoEnvoy = client.Client();
            using var outOfEnvoy = new HttpClient(new SocketsHttpHandler { Proxy = new WebProxy($"http://127.0.0.1:{outbound}"), UseProxy = true });
            await Eventually.PassesAsync(async () =>
            {
                process.MustRun();
                using var probe = await intoEnvoy.GetAsync("http://web/");
                Assert.True(probe.IsSuccessStatusCode, $"{probe.StatusCode} {await probe.Content.ReadAsStringAsync()}\n{process.Output}");
                var seen = await intoEnvoy.GetStringAsync("http://web/?headers");
                Assert.Contains("URI=spiffe://cluster.local/ns/default/sa/client", seen, StringComparison.Ordinal);
            }, seconds: 60);
            await Eventually.PassesAsync(async () =>
            {
                var seen = await outOfEnvoy.GetStringAsync("http://other/?headers");
                Assert.Contains("URI=spiffe://cluster.local/ns/default/sa/web", seen, StringComparison.Ordinal);
            });
            Assert.InRange(other.App.Requests, 1, int.MaxValue);

            using var admin = new HttpClient { BaseAddress = new Uri($"http://{(await File.ReadAllTextAsync(folder["admin"])).Trim()}") };
            var stats = await admin.GetStringAsync("/stats?filter=ssl.handshake|ssl.versions|update_rejected");
            Assert.Matches(@"(?m)^listener\.\S*ssl\.handshake: [1-9]", stats);
            Assert.Matches(@"(?m)^cluster\.outbound\S*other\S*ssl\.handshake: [1-9]", stats);
            Assert.DoesNotMatch(@"ssl\.versions\.TLSv1(\.[12])?: [1-9]", stats);
            Assert.DoesNotMatch("update_rejected: [1-9]", stats);
        });
    }

    /// <summary>Who serves the secrets: the tool, or a sidecar of the same identity.</summary>
    private static async Task ServeSecretsAsync(MeshTestbed bed, string source, string socket)
    {
        if (source == "sidecar")
        {
            await bed.JoinAsync("web", "web-secrets", ["--sds", socket]);
            return;
        }

        var agent = bed.Own(ChildProcess.Start(
            Programs.Meshctl, ["identity", "serve", "--socket", socket, "--identity", "ns/default/sa/web"], bed.ControlPlane.OperatorsEnvironment));
        await Eventually.HoldsAsync(() =>
        {
            agent.MustRun();
            return File.Exists(socket);
        }, "the agent serves its socket");
    }

    private static string Bootstrap(string meshApi, string sds, int app, int outbound, int inbound) => $$"""
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
            typed_extension_protocol_options: &http2
              envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
                "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
                explicit_http_config: { http2_protocol_options: { } }
            transport_socket:
              name: envoy.transport_sockets.tls
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
                common_tls_context:
                  tls_params: { tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_3 }
                  alpn_protocols: [ h2 ]
                  tls_certificate_sds_secret_configs:
                  - name: default
                    sds_config: &agent
                      resource_api_version: V3
                      api_config_source: { api_type: GRPC, transport_api_version: V3, grpc_services: [ { envoy_grpc: { cluster_name: sds-grpc } } ] }
                  combined_validation_context:
                    default_validation_context:
                      match_typed_subject_alt_names:
                      - { san_type: URI, matcher: { exact: "spiffe://cluster.local/ns/mesh-system/sa/control-plane" } }
                    validation_context_sds_secret_config: { name: ROOTCA, sds_config: *agent }
            load_assignment:
              cluster_name: mesh-xds
              endpoints:
              - lb_endpoints:
                - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: {{meshApi.Split(':')[1]}} } } }
          - name: sds-grpc
            type: STATIC
            typed_extension_protocol_options: *http2
            load_assignment:
              cluster_name: sds-grpc
              endpoints:
              - lb_endpoints:
                - endpoint: { address: { pipe: { path: "{{sds}}" } } }
        """;
}
