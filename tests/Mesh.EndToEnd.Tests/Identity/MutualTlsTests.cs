using System.Net;
using System.Text.Json;
using Mesh.EndToEnd.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Identity;

/// <summary>Mutual TLS that nobody configured: what operators and applications see of it, and what its modes do to callers without it.</summary>
public sealed class MutualTlsTests
{
    [Fact]
    public async Task Every_edge_is_secured_and_tells_both_identities()
    {
        await using var bed = await MeshTestbed.StartAsync();
        await bed.RunAsync(async () =>
        {
            await bed.AddAsync("web", "web-1");
            var echo = bed.Own(new EchoServer());
            await bed.AddPortAsync("db", "db-1", echo.Port, "tcp");
            var client = await bed.AddClientAsync("client", "--upstream", "db=127.0.0.1:0:tcp");
            using var http = client.Client();
            await Eventually.PassesAsync(async () => (await http.GetAsync("http://web/")).EnsureSuccessStatusCode());
            await using var stream = await SteadyStream.OpenAsync(client.Upstream("db"));
            await stream.AssertAliveAsync();

            await Eventually.PassesAsync(async () =>
            {
                (await http.GetAsync("http://web/")).EnsureSuccessStatusCode();
                var edges = (await bed.ControlPlane.GetAsync("/api/edges")).GetProperty("edges").EnumerateArray().ToList();
                foreach (var service in (string[])["web", "db"])
                {
                    var edge = Assert.Single(edges, e => e.GetProperty("destination").GetProperty("service").GetString() == service);
                    Assert.True(edge.GetProperty("secured").GetBoolean(), edge.ToString());
                    Assert.Equal("spiffe://cluster.local/ns/default/sa/client", edge.GetProperty("source").GetProperty("identity").GetString());
                    Assert.Equal($"spiffe://cluster.local/ns/default/sa/{service}", edge.GetProperty("destination").GetProperty("identity").GetString());
                }

                var table = await bed.ControlPlane.MeshctlAsync(["edges"]);
                Assert.Matches(@"(?m)^client\S*\s+web.* yes .* ns/default/sa/client\s+ns/default/sa/web$", table);
            });
        });
    }

    [Fact]
    public async Task The_application_learns_who_called_and_a_callers_own_word_for_it_is_dropped()
    {
        await using var bed = await MeshTestbed.StartAsync();
        await bed.RunAsync(async () =>
        {
            var web = await bed.AddAsync("web", "web-1");
            var client = await bed.AddClientAsync();
            using var http = client.Client();
            await Eventually.PassesAsync(async () =>
            {
                var seen = await HeadersAsync(http, "http://web/?headers");
                Assert.Contains("URI=spiffe://cluster.local/ns/default/sa/client", seen["x-forwarded-client-cert"], StringComparison.Ordinal);
                Assert.Contains("By=spiffe://cluster.local/ns/default/sa/web", seen["x-forwarded-client-cert"], StringComparison.Ordinal);
                Assert.DoesNotContain("admin", seen["x-forwarded-client-cert"], StringComparison.Ordinal);
            });

            using var plain = new HttpClient(new SocketsHttpHandler { UseProxy = false });
            var without = await HeadersAsync(plain, $"http://{web.Sidecar.Inbound(web.App.Port)}/?headers");
            Assert.DoesNotContain("x-forwarded-client-cert", without.Keys);
        });
    }

    [Fact]
    public async Task Plaintext_is_served_where_the_mode_is_permissive_and_refused_where_it_is_strict()
    {
        await using var bed = await MeshTestbed.StartAsync();
        await bed.RunAsync(async () =>
        {
            var web = await bed.AddAsync("web", "web-1");
            var client = await bed.AddClientAsync();
            using var http = client.Client();
            using var plain = new HttpClient(new SocketsHttpHandler { UseProxy = false, PooledConnectionLifetime = TimeSpan.Zero });
            var inbound = $"http://{web.Sidecar.Inbound(web.App.Port)}/";
            await Eventually.PassesAsync(async () => Assert.Equal("web-1 GET /", await http.GetStringAsync("http://web/")));
            Assert.Equal("web-1 GET /", await plain.GetStringAsync(inbound));

            await bed.ControlPlane.WriteRuleAsync("strict.yaml", """
                apiVersion: security.istio.io/v1
                kind: PeerAuthentication
                metadata: { name: default, namespace: mesh-system }
                spec: { mtls: { mode: STRICT } }
                """);
            await Eventually.PassesAsync(async () => await Assert.ThrowsAsync<HttpRequestException>(() => plain.GetStringAsync(inbound)));
            Assert.Equal("web-1 GET /", await http.GetStringAsync("http://web/"));

            bed.ControlPlane.RemoveRule("strict.yaml");
            await Eventually.PassesAsync(async () => Assert.Equal("web-1 GET /", await plain.GetStringAsync(inbound)));
        });
    }

    [Fact]
    public async Task A_service_that_requires_identity_gives_no_traffic_to_instances_without()
    {
        await using var bed = await MeshTestbed.StartAsync();
        await bed.RunAsync(async () =>
        {
            await using var legacy = await EchoApp.StartAsync("legacy");
            await bed.ControlPlane.RegisterAsync("web", "legacy-1", legacy.Port, ("protocol", "http"));
            var client = await bed.AddClientAsync();
            using var http = client.Client();
            await Eventually.PassesAsync(async () => Assert.Equal("legacy GET /", await http.GetStringAsync("http://web/")));

            await bed.ControlPlane.WriteRuleAsync("required.yaml", """
                apiVersion: policy.mesh/v1
                kind: ServiceIdentity
                metadata: { name: web, namespace: default }
                spec: { service: { name: web }, identities: [default/web], mode: required }
                """);
            await Eventually.PassesAsync(async () => Assert.Equal(HttpStatusCode.ServiceUnavailable, (await http.GetAsync("http://web/")).StatusCode));
            var before = legacy.Requests;
            var web = await bed.AddAsync("web", "web-1");
            await Eventually.PassesAsync(async () => Assert.Equal("web-1 GET /", await http.GetStringAsync("http://web/")));
            for (var i = 0; i < 20; i++) Assert.Equal("web-1 GET /", await http.GetStringAsync("http://web/"));
            Assert.Equal(before, legacy.Requests);
            Assert.InRange(web.App.Requests, 21, int.MaxValue);
        });
    }

    [Fact]
    public async Task Operators_see_who_a_node_is_and_that_it_is_certified()
    {
        await using var bed = await MeshTestbed.StartAsync();
        await bed.RunAsync(async () =>
        {
            await bed.AddAsync("web", "web-1");
            var shown = await bed.ControlPlane.MeshctlAsync(["identity", "show", "web-1"]);
            Assert.StartsWith("spiffe://cluster.local/ns/default/sa/web\nstate   good\n", shown, StringComparison.Ordinal);
            Assert.Contains(" token ", shown, StringComparison.Ordinal);
            using var list = JsonDocument.Parse(await bed.ControlPlane.MeshctlAsync(["identity", "list", "-o", "json"]));
            Assert.Contains(list.RootElement.GetProperty("identities").EnumerateArray(), i => i.GetProperty("id").GetString() == "spiffe://cluster.local/ns/default/sa/web");
            Assert.Contains("root", await bed.ControlPlane.MeshctlAsync(["ca", "status"]), StringComparison.Ordinal);
        });
    }

    private static async Task<Dictionary<string, string>> HeadersAsync(HttpClient http, string url)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, url) { Headers = { { "x-forwarded-client-cert", "URI=spiffe://cluster.local/ns/default/sa/admin" } } };
        using var answer = await http.SendAsync(request);
        answer.EnsureSuccessStatusCode();
        return (await answer.Content.ReadAsStringAsync()).Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(l => l.Split(": ", 2))
            .ToDictionary(l => l[0].ToLowerInvariant(), l => l[1], StringComparer.Ordinal);
    }
}
