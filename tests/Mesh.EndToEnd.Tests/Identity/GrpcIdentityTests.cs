using System.Text.Json;
using Mesh.EndToEnd.Tests.Interop;
using Mesh.EndToEnd.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Identity;

/// <summary>gRPC's C core with the identity of a workload in files: its file_watcher reads what <c>meshctl identity fetch --watch</c> writes.</summary>
public sealed class GrpcIdentityTests
{
    [SkippableFact]
    public async Task A_grpc_library_calls_a_sidecar_under_mutual_tls_with_fetched_certificates()
    {
        await NodePackages.RequireAsync();
        await Python.RequireGrpcAsync();
        await using var bed = await MeshTestbed.StartPlaintextAsync();
        await bed.RunAsync(async () =>
        {
            using var folder = new TemporaryFolder();
            await using var agent = await FetchAsync(bed, "caller", folder["certificates"]);
            await using var server = NodePackages.Start("server.js", ["one"]);
            var port = JsonDocument.Parse(await server.NextLineAsync()).RootElement.GetProperty("port").GetInt32();
            await bed.AddPortAsync("echo", "echo-1", port, "grpc");
            await bed.ControlPlane.WriteRuleAsync("strict.yaml", """
                apiVersion: security.istio.io/v1
                kind: PeerAuthentication
                metadata: { name: echo, namespace: default }
                spec: { selector: { matchLabels: { app: echo } }, mtls: { mode: STRICT } }
                """);
            await using var client = await Python.StartXdsClientAsync(bed, folder, "caller", "xds:///echo");
            await Eventually.PassesAsync(async () =>
            {
                var answer = await CallAsync(client, 3);
                Assert.True(answer.GetProperty("errors").GetArrayLength() == 0, answer.ToString());
                Assert.Equal(3, answer.GetProperty("by").GetProperty("one").GetInt32());
            });

            await bed.ControlPlane.WriteRuleAsync("authz.yaml", """
                apiVersion: security.istio.io/v1
                kind: AuthorizationPolicy
                metadata: { name: echo, namespace: default }
                spec:
                  selector: { matchLabels: { app: echo } }
                  action: DENY
                  rules: [{ from: [{ source: { serviceAccounts: ["caller"] } }] }]
                """);
            // 7: PERMISSION_DENIED.
            await Eventually.PassesAsync(async () => Assert.StartsWith("7 ", (await CallAsync(client, 1)).GetProperty("errors")[0].GetString(), StringComparison.Ordinal));
        });
    }

    [SkippableFact]
    public async Task A_grpc_server_without_a_sidecar_enforces_our_listener_with_fetched_certificates()
    {
        await Python.RequireGrpcAsync();
        await using var bed = await MeshTestbed.StartPlaintextAsync();
        await bed.RunAsync(async () =>
        {
            using var folder = new TemporaryFolder();
            await using var agent = await FetchAsync(bed, "echo", folder["certificates"]);
            var port = FreePorts.One();
            await bed.ControlPlane.RegisterAsync("echo", "echo-1", port, ("protocol", "grpc"), ("mesh-identity", "spiffe://cluster.local/ns/default/sa/echo"));
            await bed.ControlPlane.WriteRuleAsync("policies.yaml", """
                apiVersion: security.istio.io/v1
                kind: PeerAuthentication
                metadata: { name: echo, namespace: default }
                spec: { selector: { matchLabels: { app: echo } }, mtls: { mode: STRICT } }
                ---
                apiVersion: security.istio.io/v1
                kind: AuthorizationPolicy
                metadata: { name: echo, namespace: default }
                spec:
                  selector: { matchLabels: { app: echo } }
                  rules: [{ from: [{ source: { serviceAccounts: ["friend"] } }], to: [{ operation: { paths: ["/mesh.test.Echo/Say"] } }] }]
                """);
            await using var server = await Python.StartXdsServerAsync(bed, folder, "echo", port);
            Assert.Contains("started", await server.NextLineAsync(), StringComparison.Ordinal);

            foreach (var (account, expected) in ((string, string)[])[("friend", ""), ("stranger", "7 ")])
            {
                using var own = new TemporaryFolder();
                await using var files = await FetchAsync(bed, account, own["certificates"]);
                await using var client = await Python.StartXdsClientAsync(bed, own, account, "xds:///echo");
                await Eventually.PassesAsync(async () =>
                {
                    var errors = (await CallAsync(client, 1)).GetProperty("errors");
                    Assert.StartsWith(expected, errors.GetArrayLength() == 0 ? "" : errors[0].GetString(), StringComparison.Ordinal);
                    Assert.Equal(expected.Length > 0 ? 1 : 0, errors.GetArrayLength());
                });
            }
        });
    }

    private static async Task<ChildProcess> FetchAsync(MeshTestbed bed, string account, string folder)
    {
        var agent = ChildProcess.Start(
            Programs.Meshctl, ["identity", "fetch", "--watch", "--out", folder, "--identity", $"ns/default/sa/{account}"], bed.ControlPlane.OperatorsEnvironment);
        await Eventually.HoldsAsync(() =>
        {
            agent.MustRun();
            return File.Exists(Path.Combine(folder, "ca.crt"));
        }, "the certificate is there");
        return agent;
    }

    private static async Task<JsonElement> CallAsync(ChildProcess client, int count)
    {
        await client.TellAsync($"{count}");
        return JsonDocument.Parse(await client.NextLineAsync()).RootElement;
    }
}
