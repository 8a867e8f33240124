using System.Globalization;
using System.Net;
using System.Text.Json;
using Mesh.EndToEnd.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Identity;

/// <summary>What an operator sees of a sidecar's certificate and can do about it, and what callers are told: pages, metrics, flags, annotations.</summary>
public sealed class ObservedIdentityTests
{
    private const string Expiry = "mesh_sidecar_certificate_expiry_timestamp_seconds";
    private const string Obtained = "mesh_sidecar_certificates_obtained_total";
    private const string Failures = "mesh_sidecar_certificate_failures_total";

    [Fact]
    public async Task The_certificate_is_shown_and_can_be_renewed_now_without_a_failed_request()
    {
        await using var bed = await MeshTestbed.StartAsync();
        await bed.RunAsync(async () =>
        {
            var web = await bed.AddAsync("web", "web-1");
            var client = await bed.AddClientAsync();
            using var http = client.Client();
            await Eventually.PassesAsync(async () => (await http.GetAsync("http://web/")).EnsureSuccessStatusCode());
            var (id, serial, ends) = await CertificateAsync(bed, web.Sidecar);
            Assert.Equal("spiffe://cluster.local/ns/default/sa/web", id);
            Assert.Equal(ends.ToUnixTimeSeconds(), await MetricAsync(web.Sidecar, Expiry));
            Assert.InRange((ends - DateTimeOffset.UtcNow).TotalHours, 22, 25);
            Assert.Equal((1, 0), (await MetricAsync(web.Sidecar, Obtained), await MetricAsync(web.Sidecar, Failures)));

            var seen = new HashSet<string>(StringComparer.Ordinal) { serial };
            for (var i = 2; i <= 6; i++)
            {
                var answer = await RenewAsync(bed, web.Sidecar);
                Assert.Equal(HttpStatusCode.OK, answer.Status);
                (_, serial, _) = await CertificateAsync(bed, web.Sidecar);
                Assert.Equal($"renewed: serial {serial}\n", answer.Text);
                Assert.True(seen.Add(serial), $"{serial} again");
                Assert.Equal(i, await MetricAsync(web.Sidecar, Obtained));
                (await http.GetAsync("http://web/")).EnsureSuccessStatusCode();
            }
        });
    }

    [Fact]
    public async Task A_renewal_that_fails_is_told_and_counted_and_what_is_held_serves_on()
    {
        await using var bed = await MeshTestbed.StartAsync();
        await bed.RunAsync(async () =>
        {
            var web = await bed.AddAsync("web", "web-1");
            var client = await bed.AddClientAsync();
            using var http = client.Client();
            await Eventually.PassesAsync(async () => (await http.GetAsync("http://web/")).EnsureSuccessStatusCode());
            var before = await CertificateAsync(bed, web.Sidecar);
            await bed.ControlPlane.KillAsync();

            var (status, text) = await RenewAsync(bed, web.Sidecar);
            Assert.Equal(HttpStatusCode.ServiceUnavailable, status);
            Assert.Contains("serves on until", text, StringComparison.Ordinal);
            Assert.True(await MetricAsync(web.Sidecar, Failures) > 0);
            Assert.Equal((1, before), (await MetricAsync(web.Sidecar, Obtained), await CertificateAsync(bed, web.Sidecar)));
            (await http.GetAsync("http://web/")).EnsureSuccessStatusCode();
        });
    }

    [Fact]
    public async Task A_TCP_connection_ends_at_its_maximum_age_and_not_before()
    {
        await using var bed = await MeshTestbed.StartAsync();
        await bed.RunAsync(async () =>
        {
            var echo = bed.Own(new EchoServer());
            await bed.AddPortAsync("db", "db-1", echo.Port, "tcp");
            var bounded = await bed.AddClientAsync("bounded", "--upstream", "db=127.0.0.1:0:tcp", "--max-connection-age", "3");
            var endless = await bed.AddClientAsync("endless", "--upstream", "db=127.0.0.1:0:tcp");
            await using var free = await SteadyStream.OpenAsync(endless.Upstream("db"));
            await free.AssertAliveAsync();
            var began = System.Diagnostics.Stopwatch.StartNew();
            await using var stream = await SteadyStream.OpenAsync(bounded.Upstream("db"));
            await stream.AssertAliveAsync();
            await Assert.ThrowsAnyAsync<IOException>(() => stream.Ended.WaitAsync(TimeSpan.FromSeconds(20)));
            Assert.InRange(began.Elapsed.TotalSeconds, 2.5, 15);
            await free.AssertAliveAsync();

            // The next one is as good as the first.
            await using var next = await SteadyStream.OpenAsync(bounded.Upstream("db"));
            await next.AssertAliveAsync();
        });
    }

    [Fact]
    public async Task A_refused_caller_is_told_the_policy_only_where_the_policy_says_so()
    {
        await using var bed = await MeshTestbed.StartAsync();
        await bed.RunAsync(async () =>
        {
            await bed.AddAsync("web", "web-1");
            var client = await bed.AddClientAsync();
            using var http = client.Client();
            await Eventually.PassesAsync(async () => (await http.GetAsync("http://web/")).EnsureSuccessStatusCode());

            await bed.ControlPlane.WriteRuleAsync("authz.yaml", Deny(""));
            await RefusedAsync(answer => !answer.Headers.Contains("x-mesh-denied-by"));
            await bed.ControlPlane.WriteRuleAsync("authz.yaml", Deny("""annotations: { policy.mesh/tells-client: "true" }, """));
            await RefusedAsync(answer => answer.Headers.TryGetValues("x-mesh-denied-by", out var names) && names.Single() == "ns[default]-policy[closed]-rule[0]");
            await bed.ControlPlane.WriteRuleAsync("authz.yaml", Deny("""annotations: { policy.mesh/tells-client: "false" }, """));
            await RefusedAsync(answer => !answer.Headers.Contains("x-mesh-denied-by"));

            Task RefusedAsync(Func<HttpResponseMessage, bool> holds) => Eventually.PassesAsync(async () =>
            {
                using var answer = await http.GetAsync("http://web/");
                Assert.Equal(HttpStatusCode.Forbidden, answer.StatusCode);
                Assert.DoesNotContain("closed", await answer.Content.ReadAsStringAsync(), StringComparison.Ordinal);
                Assert.True(holds(answer), answer.Headers.ToString());
            });
        });

        static string Deny(string annotations) => $$"""
            apiVersion: security.istio.io/v1
            kind: AuthorizationPolicy
            metadata: { {{annotations}}name: closed, namespace: default }
            spec:
              selector: { matchLabels: { app: web } }
              action: DENY
              rules: [{}]
            """;
    }

    private static async Task<(HttpStatusCode Status, string Text)> RenewAsync(MeshTestbed bed, SidecarProcess sidecar)
    {
        using var answer = await bed.ControlPlane.Http.PostAsync($"http://{sidecar.Admin}/certs/renew", null);
        return (answer.StatusCode, await answer.Content.ReadAsStringAsync());
    }

    private static async Task<(string Id, string Serial, DateTimeOffset Ends)> CertificateAsync(MeshTestbed bed, SidecarProcess sidecar)
    {
        using var page = JsonDocument.Parse(await bed.ControlPlane.Http.GetStringAsync($"http://{sidecar.Admin}/certs"));
        var certificate = Assert.Single(page.RootElement.GetProperty("certificates").EnumerateArray());
        Assert.NotEmpty(certificate.GetProperty("ca_cert").EnumerateArray());
        var leaf = certificate.GetProperty("cert_chain").EnumerateArray().First();
        return (
            Assert.Single(leaf.GetProperty("subject_alt_names").EnumerateArray()).GetProperty("uri").GetString()!,
            leaf.GetProperty("serial_number").GetString()!,
            DateTimeOffset.Parse(leaf.GetProperty("expiration_time").GetString()!, CultureInfo.InvariantCulture));
    }

    private static async Task<long> MetricAsync(SidecarProcess sidecar, string name)
    {
        var line = Assert.Single((await sidecar.MetricsAsync()).Split('\n'), l => l.StartsWith(name + " ", StringComparison.Ordinal));
        return (long)double.Parse(line.Split(' ')[^1], CultureInfo.InvariantCulture);
    }
}
