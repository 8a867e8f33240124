using System.Text.Json;
using Mesh.Api.Identity.Agent;
using Mesh.Api.Logging;
using Mesh.Tests;

namespace Mesh.Api.Tests.Identity;

/// <summary>Envoy as judge of the secrets: it takes certificate and roots over the socket, and each renewal.</summary>
public sealed class SdsEnvoyTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [SkippableFact]
    public async Task Envoy_takes_the_certificate_and_its_renewal()
    {
        var program = ExternalProgram.Require("envoy");
        await using var authority = await SmallAuthority.StartAsync(TimeProvider.System);
        await using var agent = new RunningAgent(new() { ControlPlane = authority.Address, JoinToken = authority.Token() }, TimeProvider.System);
        await using var server = await SdsServer.StartAsync(folder["sds.sock"], agent.Agent, Log.Silent);
        await File.WriteAllTextAsync(folder["envoy.yaml"], Bootstrap(folder["sds.sock"]));
        await using var envoy = ChildProcess.Start(program, ["-c", folder["envoy.yaml"], "--use-dynamic-base-id", "--admin-address-path", folder["admin"], "-l", "warning"]);
        await agent.CertifiedAsync();
        await ShowsAsync(envoy, agent);
        agent.Agent.RenewSoon();
        await Eventually.TrueAsync(() => agent.Changes == 2);
        await ShowsAsync(envoy, agent);
    }

    private async Task ShowsAsync(ChildProcess envoy, RunningAgent agent)
    {
        using var http = new HttpClient();
        await Eventually.PassesAsync(async () =>
        {
            Assert.False(envoy.HasExited, envoy.Output);
            var all = await http.GetStringAsync(new Uri($"http://{await File.ReadAllTextAsync(folder["admin"])}/certs"));
            using var json = JsonDocument.Parse(all);
            var shown = json.RootElement.GetProperty("certificates")[0];
            var held = agent.Agent.Current!;
            Assert.Equal(held.Svid.Certificate.SerialNumber, shown.GetProperty("cert_chain")[0].GetProperty("serial_number").GetString(), ignoreCase: true);
            Assert.Equal(held.Svid.Id.ToString(), shown.GetProperty("cert_chain")[0].GetProperty("subject_alt_names")[0].GetProperty("uri").GetString());
            Assert.Equal(held.Bundle.Roots[0].SerialNumber, shown.GetProperty("ca_cert")[0].GetProperty("serial_number").GetString(), ignoreCase: true);
        });
    }

    private static string Bootstrap(string socket) =>
        """
        node: {id: e, cluster: e}
        admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
        static_resources:
          listeners:
          - name: in
            address: {socket_address: {address: 127.0.0.1, port_value: 0}}
            filter_chains:
            - transport_socket:
                name: envoy.transport_sockets.tls
                typed_config:
                  "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
                  require_client_certificate: true
                  common_tls_context:
                    tls_certificate_sds_secret_configs: [SECRET(default)]
                    validation_context_sds_secret_config: SECRET(ROOTCA)
              filters:
              - name: tcp
                typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: x, cluster: sds-grpc}
          clusters:
          - name: sds-grpc
            typed_extension_protocol_options:
              envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
                "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
                explicit_http_config: {http2_protocol_options: {}}
            load_assignment: {cluster_name: sds-grpc, endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: SOCKET}}}}]}]}
        """.Replace("SECRET(default)", Secret("default"), StringComparison.Ordinal).Replace("SECRET(ROOTCA)", Secret("ROOTCA"), StringComparison.Ordinal)
        .Replace("SOCKET", socket, StringComparison.Ordinal);

    private static string Secret(string name) =>
        "{name: " + name + ", sds_config: {resource_api_version: V3, api_config_source: {api_type: GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: sds-grpc}}]}}}";
}
