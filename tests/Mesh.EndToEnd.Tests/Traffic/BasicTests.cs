using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Mesh.EndToEnd.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Traffic;

/// <summary>Services talk to each other through two sidecars that one control plane configures.</summary>
public sealed class BasicTests
{
    [SkippableTheory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_service_answers_to_all_its_names_and_both_ends_count_it(bool consul)
    {
        await using var bed = await MeshTestbed.StartAsync(consul);
        await bed.RunAsync(async () =>
        {
            await bed.AddAsync("web", "web-1", version: "v7");
            var client = await bed.AddClientAsync("shop-client");
            using var http = client.Client();
            await Eventually.PassesAsync(async () => Assert.Equal("web-1 GET /hello", await http.GetStringAsync("http://web/hello")));
            foreach (var host in (string[])["web", "web.default", "web.default.svc", "web.default.svc.cluster.local", "web.service.consul", "web:80"])
                Assert.Equal("web-1 GET /", await http.GetStringAsync($"http://{host}/"));

            var outbound = await client.MetricsAsync();
            Assert.Matches(
                "istio_requests_total\\{reporter=\"source\",source_workload=\"[^\"]*\"[^}]*source_app=\"shop-client\"[^}]*destination_workload=\"web-v7\"" +
                "[^}]*destination_version=\"v7\"[^}]*destination_service=\"web.default.svc.cluster.local\"[^}]*response_code=\"200\"", outbound);
        });
    }

    [Fact]
    public async Task What_cannot_be_routed_is_refused_in_words()
    {
        await using var bed = await MeshTestbed.StartAsync();
        await bed.RunAsync(async () =>
        {
            var web = await bed.AddAsync("web", "web-1");
            await bed.ControlPlane.WriteRuleAsync("r.yaml", """
                apiVersion: gateway.networking.k8s.io/v1
                kind: HTTPRoute
                metadata: { name: only-a }
                spec:
                  parentRefs: [{ kind: Service, group: "", name: web }]
                  rules:
                  - matches: [{ path: { value: /a } }]
                    backendRefs: [{ name: web, port: 80 }]
                  - matches: [{ path: { value: /bad } }]
                    backendRefs: [{ name: nowhere, port: 80 }]
                """);
            var client = await bed.AddClientAsync();
            using var http = client.Client();
            await Eventually.PassesAsync(async () => Assert.Equal(HttpStatusCode.NotFound, (await http.GetAsync("http://web/b")).StatusCode));
            Assert.Equal(HttpStatusCode.OK, (await http.GetAsync("http://web/a")).StatusCode);
            Assert.Equal(HttpStatusCode.InternalServerError, (await http.GetAsync("http://web/bad")).StatusCode);

            // The application is gone, its sidecar is not: the inbound sidecar says so, nobody hangs.
            await web.App.DisposeAsync();
            using var refused = await http.GetAsync("http://web/a");
            Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode);
            Assert.Contains("refuse", await refused.Content.ReadAsStringAsync(), StringComparison.OrdinalIgnoreCase);
        });
    }

    [Fact]
    public async Task The_operators_see_who_calls_whom()
    {
        await using var bed = await MeshTestbed.StartAsync();
        await bed.RunAsync(async () =>
        {
            await bed.AddAsync("web", "web-1");
            var client = await bed.AddClientAsync("caller");
            using var http = client.Client();
            await Eventually.PassesAsync(async () => (await http.GetAsync("http://web/")).EnsureSuccessStatusCode());
            for (var i = 0; i < 20; i++) await http.GetAsync("http://web/?status=500");
            await Eventually.PassesAsync(async () =>
            {
                var edges = await bed.ControlPlane.GetAsync(Mesh.Api.Operators.OperatorsApi.Edges);
                var edge = edges.GetProperty("edges").EnumerateArray().Single(e => e.GetProperty("source").GetProperty("service").GetString() == "caller");
                Assert.Equal("web", edge.GetProperty("destination").GetProperty("service").GetString());
                Assert.InRange(edge.GetProperty("traffic").GetProperty("successRate").GetDouble(), 0.01, 0.2);
            });
        });
    }

    [SkippableFact]
    public async Task Prometheus_scrapes_both_ends_and_promtool_has_no_complaint()
    {
        var prometheus = ExternalProgram.Require("prometheus");
        var promtool = ExternalProgram.Require("promtool");
        await using var bed = await MeshTestbed.StartAsync();
        await bed.RunAsync(async () =>
        {
            var web = await bed.AddAsync("web", "web-1");
            var client = await bed.AddClientAsync();
            using var http = client.Client();
            await Eventually.PassesAsync(async () => (await http.GetAsync("http://web/")).EnsureSuccessStatusCode());
            string[] targets = [client.Metrics, web.Sidecar.Metrics, bed.ControlPlane.Health];
            foreach (var target in targets) await AssertCleanAsync(promtool, await bed.ControlPlane.Http.GetStringAsync($"http://{target}/metrics"));

            using var folder = new TemporaryFolder();
            await File.WriteAllTextAsync(folder["prometheus.yml"], $$"""
                global: { scrape_interval: 1s, scrape_timeout: 1s }
                scrape_configs: [{ job_name: mesh, static_configs: [{ targets: ["{{string.Join("\", \"", targets)}}"] }] }]
                """);
            var port = FreePorts.One();
            await using var server = ChildProcess.Start(prometheus,
                [$"--config.file={folder["prometheus.yml"]}", $"--storage.tsdb.path={folder["data"]}", $"--web.listen-address=127.0.0.1:{port}"]);
            await Eventually.PassesAsync(async () =>
            {
                server.MustRun();
                Assert.Equal(3, await QueryAsync("sum(up)"));
                Assert.InRange(await QueryAsync("sum(istio_requests_total{reporter=\"source\",destination_service_name=\"web\"})"), 1, 1e9);
                Assert.InRange(await QueryAsync("sum(istio_requests_total{reporter=\"destination\",destination_service_name=\"web\"})"), 1, 1e9);
            });

            async Task<double> QueryAsync(string query)
            {
                var answer = await bed.ControlPlane.Http.GetFromJsonAsync<JsonElement>(
                    $"http://127.0.0.1:{port}/api/v1/query?query={Uri.EscapeDataString(query)}");
                var result = answer.GetProperty("data").GetProperty("result");
                Assert.True(result.GetArrayLength() > 0, $"no series for {query}");
                return double.Parse(result[0].GetProperty("value")[1].GetString()!, System.Globalization.CultureInfo.InvariantCulture);
            }
        });
    }

    private static async Task AssertCleanAsync(string promtool, string metrics)
    {
        using var folder = new TemporaryFolder();
        await File.WriteAllTextAsync(folder["metrics"], metrics);
        await using var check = ChildProcess.Start("/bin/sh", ["-c", $"{promtool} check metrics < {folder["metrics"]}"]);
        await check.WaitAsync(30);
        // Istio's own name keeps milliseconds; the linter would rather have seconds.
        Assert.All(check.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries),
            line => Assert.StartsWith("istio_request_duration_milliseconds use base unit", line, StringComparison.Ordinal));
    }
}
