using System.Diagnostics;
using Mesh.EndToEnd.Tests.Testbed.Network;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Captured;

/// <summary>
/// Not knowing is not permission, with real processes: what the control plane says of a destination that no configuration has, and what the sidecar then
/// does. The callee refuses plaintext and everybody but one caller, so that an answer of it is the proof of mutual TLS and of both identities.
/// </summary>
public sealed class LookupTests
{
    private const string Strict = """
        apiVersion: security.istio.io/v1
        kind: PeerAuthentication
        metadata: { name: strict, namespace: default }
        spec: { selector: { matchLabels: { app: web } }, mtls: { mode: STRICT } }
        ---
        apiVersion: security.istio.io/v1
        kind: AuthorizationPolicy
        metadata: { name: caller-only, namespace: default }
        spec:
          selector: { matchLabels: { app: web } }
          rules: [{ from: [{ source: { principals: ["cluster.local/ns/default/sa/caller"] } }] }]
        """;

    private const string AnothersService = """
        apiVersion: policy.mesh/v1
        kind: ServiceIdentity
        metadata: { name: web, namespace: default }
        spec: { service: { name: web }, identities: [default/other] }
        """;

    [SkippableFact]
    public async Task A_destination_that_nobody_configured_is_asked_for_and_gets_what_the_answer_says()
    {
        await using var mesh = await CapturedMesh.StartAsync("--pod-range", "10.80.0.0/15");
        await mesh.RunAsync(async () =>
        {
            await mesh.ControlPlane.WriteRuleAsync("strict.yaml", Strict);
            var caller = await mesh.AddAsync("caller", "caller");
            var other = await mesh.AddAsync("other", "other");
            var web = await mesh.AddAsync("web", "web", new CaptureShape { Ports = ["8080:http"] });
            var outside = mesh.Network.Add("outside", lan: 1);
            foreach (var port in (string[])["8080", "9098", "9099"]) await web.Host.ServeAsync("serving", CapturedShop.Python, CapturedMesh.Script("app.py"), "web", port);
            foreach (var port in (string[])["8080", "8081"]) await outside.ServeAsync("serving", CapturedShop.Python, CapturedMesh.Script("app.py"), "outside", port);
            await CapturedMesh.KnowsAsync(caller, "web");
            var host = caller.Host;

            // An instance by its address: pinned, under mutual TLS. A port nobody registered: looked up, MESHED, the same.
            Assert.Contains("URI=spiffe://cluster.local/ns/default/sa/caller", await BodyAsync(host, $"http://{web.Address}:8080/?headers"), StringComparison.Ordinal);
            Assert.StartsWith("web GET / ", await BodyAsync(host, $"http://{web.Address}:9099/"), StringComparison.Ordinal);
            Assert.Contains($"looked-up|{web.Address}:9099", await LineAsync(caller, $"{web.Address}:9099"), StringComparison.Ordinal);
            // It is no permission for anybody else: neither plaintext nor another identity.
            await RefusedAsync(outside, $"http://{web.Address}:9099/");
            await RefusedAsync(other.Host, $"http://{web.Address}:9099/");
            await RefusedAsync(other.Host, $"http://{web.Address}:8080/");

            // NOT_MESHED: plaintext, untouched.
            Assert.Equal($"outside GET / from {host.Address} at {outside.Address} HTTP/1.1", await BodyAsync(host, $"http://{outside.Address}:8080/"));

            // In an outage what was said holds; what was not is refused, within about two seconds and in words.
            using (mesh.Control.Cut())
            {
                Assert.StartsWith("web GET / ", await BodyAsync(host, $"http://{web.Address}:9099/"), StringComparison.Ordinal);
                Assert.StartsWith("outside GET / ", await BodyAsync(host, $"http://{outside.Address}:8080/"), StringComparison.Ordinal);
                var since = Stopwatch.GetTimestamp();
                var refused = await host.CurlAsync("--max-time", "10", $"http://{outside.Address}:8081/");
                Assert.NotEqual("200", refused.Status);
                Assert.InRange(Stopwatch.GetElapsedTime(since).TotalSeconds, 1.5, 8);
                Assert.Contains("control plane", await LineAsync(caller, $"{outside.Address}:8081"), StringComparison.Ordinal);
                Assert.Contains("reason=\"unanswered\"", await caller.MetricsAsync(), StringComparison.Ordinal);
            }

            await Eventually.PassesAsync(async () => Assert.StartsWith("outside GET / ", await BodyAsync(host, $"http://{outside.Address}:8081/"), StringComparison.Ordinal));
        });
    }

    [SkippableFact]
    public async Task Who_proves_another_identity_than_the_answer_names_gets_nothing()
    {
        await using var mesh = await CapturedMesh.StartAsync("--pod-range", "10.80.0.0/15");
        await mesh.RunAsync(async () =>
        {
            var caller = await mesh.AddAsync("caller", "caller");
            var web = await mesh.AddAsync("web", "web", new CaptureShape { Ports = ["8080:http"] });
            foreach (var port in (string[])["8080", "9098", "9099"]) await web.Host.ServeAsync("serving", CapturedShop.Python, CapturedMesh.Script("app.py"), "web", port);
            await CapturedMesh.KnowsAsync(caller, "web");
            Assert.StartsWith("web GET / ", await BodyAsync(caller.Host, $"http://{web.Address}:9099/"), StringComparison.Ordinal);

            // The service is another's from now on; the workload is there as before, and proves what it always did.
            await mesh.ControlPlane.WriteRuleAsync("others.yaml", AnothersService);
            await Eventually.PassesAsync(async () => Assert.NotEqual("200", (await caller.Host.CurlAsync($"http://{web.Address}:8080/")).Status));
            await RefusedAsync(caller.Host, $"http://{web.Address}:9098/");
            var said = await LineAsync(caller, $"{web.Address}:9098");
            Assert.Contains("ns/default/sa/web", said, StringComparison.Ordinal);
            Assert.Contains("ns/default/sa/other", said, StringComparison.Ordinal);
        });
    }

    private static async Task<string> BodyAsync(NetworkHost from, string url)
    {
        var answer = await from.CurlAsync("--max-time", "10", url);
        Assert.True(answer.Status == "200", $"{url}: {answer.All}");
        return answer.Body;
    }

    /// <summary>The last line of the access log about a destination; it is written when the connection has ended.</summary>
    private static async Task<string> LineAsync(CapturedWorkload of, string destination)
    {
        string? line = null;
        await Eventually.TrueAsync(() => (line = of.Log.Split('\n').LastOrDefault(one => one.StartsWith('[') && one.Contains(destination, StringComparison.Ordinal))) is not null);
        return line!;
    }

    private static async Task RefusedAsync(NetworkHost from, string url)
    {
        var answer = await from.CurlAsync("--max-time", "10", url);
        Assert.True(answer.Status != "200" && !answer.Body.Contains(" GET / ", StringComparison.Ordinal), $"{from.Name} {url}: {answer.All}");
    }
}
