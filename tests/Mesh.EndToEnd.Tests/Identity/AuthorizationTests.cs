using System.Net;
using Mesh.EndToEnd.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Identity;

/// <summary>One rule file says who may call what: the destination does it, <c>meshctl authz check</c> foretells it, and a denial names its policy.</summary>
public sealed class AuthorizationTests
{
    private const string Policies = """
        apiVersion: security.istio.io/v1
        kind: AuthorizationPolicy
        metadata: { name: callers, namespace: default }
        spec:
          selector: { matchLabels: { app: web } }
          action: ALLOW
          rules:
          - from: [{ source: { principals: ["cluster.local/ns/default/sa/friend"] } }]
          - to: [{ operation: { paths: ["/public/*"], methods: ["GET"] } }]
        ---
        apiVersion: security.istio.io/v1
        kind: AuthorizationPolicy
        metadata: { name: no-admin, namespace: default }
        spec:
          selector: { matchLabels: { app: web } }
          action: DENY
          rules:
          - to: [{ operation: { paths: ["/admin", "/admin/*"] } }]
            when: [{ key: "request.headers[x-role]", notValues: ["admin"] }]
        """;

    private static readonly (string Method, string Path, string Role)[] Requests =
    [
        ("GET", "/", ""), ("GET", "/public/a", ""), ("POST", "/public/a", ""), ("GET", "/public/../admin", ""), ("GET", "/admin", ""),
        ("GET", "/admin", "admin"), ("POST", "/admin/x", "admin"), ("GET", "/%61dmin", ""), ("GET", "/administrator", ""), ("DELETE", "/a?b=/public/x", ""),
    ];

    [Fact]
    public async Task What_the_check_foretells_is_what_the_destination_does()
    {
        await using var bed = await MeshTestbed.StartAsync();
        await bed.RunAsync(async () =>
        {
            var web = await bed.AddAsync("web", "web-1");
            var friend = await bed.AddClientAsync("friend");
            var stranger = await bed.AddClientAsync("stranger");
            await bed.ControlPlane.WriteRuleAsync("authz.yaml", Policies);
            using (var http = stranger.Client())
                await Eventually.PassesAsync(async () => Assert.Equal(HttpStatusCode.Forbidden, (await http.GetAsync("http://web/")).StatusCode));

            foreach (var (name, sidecar) in ((string, SidecarProcess)[])[("friend", friend), ("stranger", stranger)])
            {
                using var http = sidecar.Client();
                foreach (var (method, path, role) in Requests)
                {
                    using var request = new HttpRequestMessage(new HttpMethod(method), new Uri($"http://web{path}", new UriCreationOptions { DangerousDisablePathAndQueryCanonicalization = true }));
                    string[] header = role.Length > 0 ? ["--header", $"x-role={role}"] : [];
                    if (role.Length > 0) request.Headers.Add("x-role", role);
                    var before = web.App.Requests;
                    using var answer = await http.SendAsync(request);
                    var allowed = answer.StatusCode == HttpStatusCode.OK;
                    // 400: a path that has no single meaning.
                    Assert.True(allowed || answer.StatusCode is HttpStatusCode.Forbidden or HttpStatusCode.BadRequest,
                        $"{name} {method} {path}: {answer.StatusCode} {await answer.Content.ReadAsStringAsync()}");
                    Assert.Equal(allowed ? 1 : 0, web.App.Requests - before);
                    await bed.ControlPlane.MeshctlAsync(
                        ["authz", "check", "--from", $"ns/default/sa/{name}", "--to", $"web:{await PortAsync(bed)}", .. header, method, path], allowed ? 0 : 3);
                }
            }
        });
    }

    [Fact]
    public async Task A_denial_names_the_policy_in_the_log_and_the_metric_and_where_it_is_written_in_the_check()
    {
        await using var bed = await MeshTestbed.StartAsync();
        await bed.RunAsync(async () =>
        {
            var web = await bed.AddAsync("web", "web-1");
            var friend = await bed.AddClientAsync("friend");
            await bed.ControlPlane.WriteRuleAsync("authz.yaml", Policies);
            using var http = friend.Client();
            await Eventually.PassesAsync(async () => Assert.Equal(HttpStatusCode.Forbidden, (await http.GetAsync("http://web/admin")).StatusCode));

            await Eventually.HoldsAsync(() => web.Sidecar.Process.Output.Contains("ns[default]-policy[no-admin]-rule[0]", StringComparison.Ordinal), "the log names the policy");
            Assert.Contains("no-admin", await web.Sidecar.MetricsAsync(), StringComparison.Ordinal);
            var told = await bed.ControlPlane.MeshctlAsync(["authz", "check", "--from", "ns/default/sa/friend", "--to", $"web:{await PortAsync(bed)}", "GET", "/admin"], 3);
            Assert.Matches(@"^DENIED by default/no-admin \(\S*authz\.yaml:\d+\)", told);
            var who = await bed.ControlPlane.MeshctlAsync(["authz", "check", "--who-can", "--to", $"web:{await PortAsync(bed)}", "GET", "/"]);
            Assert.Matches(@"(?m)^spiffe://cluster\.local/ns/default/sa/friend +yes ", who);
        });
    }

    [Fact]
    public async Task A_policy_on_a_tcp_port_is_enforced_when_the_connection_begins()
    {
        await using var bed = await MeshTestbed.StartAsync();
        await bed.RunAsync(async () =>
        {
            var echo = bed.Own(new EchoServer());
            await bed.AddPortAsync("db", "db-1", echo.Port, "tcp");
            var friend = await bed.AddClientAsync("friend", "--upstream", "db=127.0.0.1:0:tcp");
            var stranger = await bed.AddClientAsync("stranger", "--upstream", "db=127.0.0.1:0:tcp");
            await using (var open = await SteadyStream.OpenAsync(stranger.Upstream("db"))) await open.AssertAliveAsync();
            await bed.ControlPlane.WriteRuleAsync("authz.yaml", """
                apiVersion: security.istio.io/v1
                kind: AuthorizationPolicy
                metadata: { name: db, namespace: default }
                spec:
                  selector: { matchLabels: { app: db } }
                  rules: [{ from: [{ source: { serviceAccounts: ["friend"] } }] }]
                """);
            await Eventually.PassesAsync(async () =>
            {
                await using var refused = await SteadyStream.OpenAsync(stranger.Upstream("db"));
                await Assert.ThrowsAnyAsync<IOException>(() => refused.Ended.WaitAsync(TimeSpan.FromSeconds(2)));
            });
            await using var stream = await SteadyStream.OpenAsync(friend.Upstream("db"));
            await stream.AssertAliveAsync();
        });
    }

    private static async Task<int> PortAsync(MeshTestbed bed)
    {
        var services = await bed.ControlPlane.GetAsync("/api/services");
        var web = services.GetProperty("services").EnumerateArray().Single(s => s.GetProperty("name").GetString() == "web");
        return web.GetProperty("ports")[0].GetProperty("port").GetInt32();
    }
}
