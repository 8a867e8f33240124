using System.Text.Json;
using Mesh.EndToEnd.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Identity;

/// <summary>Programs whose business is to judge TLS look at the inbound port of a sidecar and at the control plane's port for workloads.</summary>
public sealed class JudgeTests
{
    private const string Request = "GET /judged HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n";

    private const string Strict = """
        apiVersion: security.istio.io/v1
        kind: PeerAuthentication
        metadata: { name: default, namespace: mesh-system }
        spec: { mtls: { mode: STRICT } }
        """;

    [SkippableFact]
    public async Task Openssl_shakes_hands_with_a_certificate_of_the_mesh_and_with_nothing_else()
    {
        var openssl = ExternalProgram.Require("openssl");
        await using var bed = await MeshTestbed.StartAsync();
        await bed.RunAsync(async () =>
        {
            var web = await bed.AddAsync("web", "web-1");
            var inbound = web.Sidecar.Inbound(web.App.Port);
            using var folder = new TemporaryFolder();
            await bed.ControlPlane.MeshctlAsync(["identity", "fetch", "--out", folder["id"], "--identity", "ns/default/sa/judge"]);
            string[] with = ["-cert", folder["id/tls.crt"], "-cert_chain", folder["id/tls.crt"], "-key", folder["id/tls.key"]];
            string[] checks = ["-CAfile", folder["id/ca.crt"], "-verify_return_error", "-alpn", "istio-http/1.1"];

            var good = await SayAsync(openssl, inbound, [.. with, .. checks]);
            Assert.Contains("HTTP/1.1 200 OK", good, StringComparison.Ordinal);
            Assert.Contains("web-1 GET /judged", good, StringComparison.Ordinal);
            Assert.Contains("New, TLSv1.3", good, StringComparison.Ordinal);
            Assert.Contains("Verify return code: 0 (ok)", good, StringComparison.Ordinal);
            Assert.Contains("ALPN protocol: istio-http/1.1", good, StringComparison.Ordinal);

            var before = web.App.Requests;
            Assert.DoesNotContain("HTTP/1.1 200", await SayAsync(openssl, inbound, checks), StringComparison.Ordinal);
            Assert.DoesNotContain("HTTP/1.1 200", await SayAsync(openssl, inbound, [.. with, .. checks, "-tls1_2"]), StringComparison.Ordinal);
            await MakeStrangerAsync(openssl, folder);
            Assert.DoesNotContain("HTTP/1.1 200", await SayAsync(openssl, inbound,
                ["-cert", folder["stranger.crt"], "-key", folder["stranger.key"], .. checks]), StringComparison.Ordinal);
            Assert.Equal(before, web.App.Requests);
        });
    }

    [SkippableFact]
    public async Task A_session_is_not_taken_up_again()
    {
        var openssl = ExternalProgram.Require("openssl");
        await using var bed = await MeshTestbed.StartAsync();
        await bed.RunAsync(async () =>
        {
            var web = await bed.AddAsync("web", "web-1");
            using var folder = new TemporaryFolder();
            await bed.ControlPlane.MeshctlAsync(["identity", "fetch", "--out", folder["id"], "--identity", "ns/default/sa/judge"]);
            string[] with = ["-cert", folder["id/tls.crt"], "-cert_chain", folder["id/tls.crt"], "-key", folder["id/tls.key"], "-alpn", "istio-http/1.1"];
            foreach (var address in (string[])[web.Sidecar.Inbound(web.App.Port), bed.ControlPlane.MeshApi])
            {
                await SayAsync(openssl, address, [.. with, "-sess_out", folder["session"]]);
                string[] again = File.Exists(folder["session"]) ? ["-sess_in", folder["session"]] : [];
                Assert.DoesNotContain("Reused,", await SayAsync(openssl, address, [.. with, .. again]), StringComparison.Ordinal);
            }
        });
    }

    [SkippableTheory]
    [InlineData("inbound")]
    [InlineData("mesh-api")]
    public async Task Testssl_finds_TLS_1_3_and_no_weakness(string port)
    {
        var testssl = ExternalProgram.Find("testssl") ?? ExternalProgram.Require("testssl.sh");
        await using var bed = await MeshTestbed.StartAsync();
        await bed.RunAsync(async () =>
        {
            var web = await bed.AddAsync("web", "web-1");
            await bed.ControlPlane.WriteRuleAsync("strict.yaml", Strict);
            var address = port == "inbound" ? web.Sidecar.Inbound(web.App.Port) : bed.ControlPlane.MeshApi;
            using var folder = new TemporaryFolder();
            await using var judge = ChildProcess.Start(testssl,
                ["--jsonfile", folder["report.json"], "--warnings", "off", "--quiet", "--color", "0", "--ip", "one", "--nodns", "min", "-p", "-s", "-f", "-S", "-U", address]);
            await judge.WaitAsync(240);
            Assert.True(File.Exists(folder["report.json"]), judge.Output);
            using var report = JsonDocument.Parse(await File.ReadAllTextAsync(folder["report.json"]));
            var findings = report.RootElement.EnumerateArray().Select(f => (Id: f.GetProperty("id").GetString()!,
                Severity: f.GetProperty("severity").GetString()!, Text: f.GetProperty("finding").GetString()!)).ToList();

            foreach (var old in (string[])["SSLv2", "SSLv3", "TLS1", "TLS1_1", "TLS1_2"])
                Assert.Contains(findings, f => f.Id == old && f.Text.Contains("not offered", StringComparison.Ordinal));
            Assert.Contains(findings, f => f.Id == "TLS1_3" && f.Text.StartsWith("offered", StringComparison.Ordinal));
            // It judges as a browser would, and the certificates are of a private authority and name no host.
            var weak = findings.Where(f => f.Severity is "LOW" or "MEDIUM" or "HIGH" or "CRITICAL" && !f.Id.StartsWith("cert", StringComparison.Ordinal)).ToList();
            Assert.True(weak.Count == 0, string.Join('\n', weak));
        });
    }

    /// <summary>A certificate with the right name from an authority nobody knows.</summary>
    private static async Task MakeStrangerAsync(string openssl, TemporaryFolder folder)
    {
        await using var made = ChildProcess.Start(openssl, ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj", "/",
            "-addext", "subjectAltName=critical,URI:spiffe://cluster.local/ns/default/sa/judge", "-keyout", folder["stranger.key"], "-out", folder["stranger.crt"]]);
        Assert.True(await made.WaitAsync(30) == 0, made.Output);
    }

    private static async Task<string> SayAsync(string openssl, string address, string[] more)
    {
        await using var client = ChildProcess.Start(openssl, ["s_client", "-connect", address, "-ign_eof", .. more]);
        try
        {
            await client.TellAsync(Request);
        }
        catch (IOException)
        {
            // It has ended already.
        }

        await client.WaitAsync(30);
        return client.Output;
    }
}
