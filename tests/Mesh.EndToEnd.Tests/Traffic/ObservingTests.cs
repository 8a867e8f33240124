using System.Text.Json;
using Mesh.EndToEnd.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Traffic;

/// <summary>Traces, the admin surface and what a sidecar that nobody observes must not pay for.</summary>
public sealed class ObservingTests
{
    [SkippableFact]
    public async Task A_trace_runs_through_both_sidecars()
    {
        await using var collector = await OtelCollector.StartAsync();
        await using var bed = await MeshTestbed.StartAsync();
        await bed.RunAsync(async () =>
        {
            await bed.AddAsync("web", "web-1", more: ["--otlp", collector.Http]);
            var client = await bed.AddClientAsync("caller", "--otlp", collector.Http);
            using var http = client.Client();
            await Eventually.PassesAsync(async () => (await http.GetAsync("http://web/")).EnsureSuccessStatusCode());
            using var request = new HttpRequestMessage(HttpMethod.Get, "http://web/traced");
            request.Headers.Add("traceparent", "00-5af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
            (await http.SendAsync(request)).EnsureSuccessStatusCode();

            await Eventually.PassesAsync(async () =>
            {
                var spans = SpansOf(await collector.ReceivesAsync("5af7651916cd43dd8448eb211c80319c"), "5af7651916cd43dd8448eb211c80319c");
                Assert.Equal(2, spans.Count);
                var sent = Assert.Single(spans, s => s.Kind == 3);
                var taken = Assert.Single(spans, s => s.Kind == 2);
                Assert.Equal(("b7ad6b7169203331", sent.Id), (sent.Parent, taken.Parent));
            });
        });
    }

    [Fact]
    public async Task The_admin_surface_shows_what_serves_and_nobody_pays_for_an_exporter_that_is_not_asked_for()
    {
        await using var bed = await MeshTestbed.StartAsync();
        await bed.RunAsync(async () =>
        {
            var web = await bed.AddAsync("web", "web-1");
            var client = await bed.AddClientAsync();
            using var http = client.Client();
            await Eventually.PassesAsync(async () => (await http.GetAsync("http://web/")).EnsureSuccessStatusCode());

            using var admin = new HttpClient(new SocketsHttpHandler { UseProxy = false }) { BaseAddress = new Uri($"http://{client.Admin}") };
            using var dump = JsonDocument.Parse(await admin.GetStringAsync("/config_dump?include_eds"));
            var text = dump.RootElement.GetRawText();
            Assert.Contains("HttpConnectionManager", text, StringComparison.Ordinal);
            Assert.Contains("web.default.svc.cluster.local", text, StringComparison.Ordinal);
            Assert.DoesNotContain("cannot be shown", text, StringComparison.Ordinal);
            Assert.Contains("::health_flags::healthy", await admin.GetStringAsync("/clusters"), StringComparison.Ordinal);
            Assert.Contains("outbound::", await admin.GetStringAsync("/listeners"), StringComparison.Ordinal);
            Assert.Matches("mesh_sidecar_snapshot_number [1-9]", await client.MetricsAsync());
            Assert.DoesNotContain("OpenTelemetry", await File.ReadAllTextAsync($"/proc/{client.Process.Id}/maps"), StringComparison.Ordinal);

            using var quit = await admin.PostAsync("/quitquitquit", null);
            Assert.Equal("OK\n", await quit.Content.ReadAsStringAsync());
            Assert.Equal(0, await client.Process.WaitAsync(40));
            Assert.False(web.Sidecar.Process.HasExited);
        });
    }

    private static List<(string Id, string Parent, int Kind)> SpansOf(string lines, string trace)
    {
        var found = new List<(string, string, int)>();
        foreach (var line in lines.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            using var json = JsonDocument.Parse(line);
            if (!json.RootElement.TryGetProperty("resourceSpans", out var resources)) continue;
            found.AddRange(resources.EnumerateArray()
                .SelectMany(r => r.GetProperty("scopeSpans").EnumerateArray())
                .SelectMany(s => s.GetProperty("spans").EnumerateArray())
                .Where(s => s.GetProperty("traceId").GetString() == trace)
                .Select(s => (s.GetProperty("spanId").GetString()!, s.GetProperty("parentSpanId").GetString()!, s.GetProperty("kind").GetInt32())));
        }

        return found;
    }
}
