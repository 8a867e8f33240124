using Mesh.EndToEnd.Tests.Testbed.Network;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Captured;

/// <summary>Hosts outside of the mesh, where nothing but what is registered may be called: by name, by alias, as bytes, by a route, and by nobody else's name.</summary>
public sealed class ExternalTests
{
    private const string Documents = """
        apiVersion: networking.istio.io/v1
        kind: ServiceEntry
        metadata: {name: payments}
        spec:
          hosts: [payments.example.com]
          location: MESH_EXTERNAL
          resolution: DNS
          ports:
          - {number: 80, name: http, protocol: HTTP, targetPort: 8080}
          - {number: 443, name: tls, protocol: TLS, targetPort: 8443}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: ext}
        spec: {type: ExternalName, externalName: payments.example.com, ports: [{name: http, port: 80, targetPort: 8080}]}
        ---
        apiVersion: networking.istio.io/v1
        kind: ServiceEntry
        metadata: {name: one}
        spec: {hosts: [one.example.com], resolution: DNS, ports: [{number: 7000, name: raw, protocol: TCP, targetPort: 8081}]}
        ---
        apiVersion: networking.istio.io/v1
        kind: ServiceEntry
        metadata: {name: two}
        spec: {hosts: [two.example.com], resolution: STATIC, ports: [{number: 7000, name: raw, protocol: TCP}], endpoints: [{address: ADDRESS, ports: {raw: 8082}}, {address: "ADDRESS6", ports: {raw: 8082}}]}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: bank}
        spec: {ports: [{name: http, port: 80}]}
        ---
        apiVersion: gateway.networking.k8s.io/v1
        kind: HTTPRoute
        metadata: {name: bank}
        spec:
          parentRefs: [{group: "", kind: Service, name: bank}]
          rules: [{backendRefs: [{group: networking.istio.io, kind: Hostname, name: payments.example.com, port: 80}]}]
        """;

    [SkippableFact]
    public async Task They_have_names_of_their_own_and_nothing_else_is_let_out()
    {
        var dnsmasq = ExternalProgram.Require("dnsmasq");
        await using var mesh = await CapturedMesh.StartAsync("--outbound-policy", "registry-only");
        await mesh.RunAsync(async () =>
        {
            var outside = mesh.Network.Add("outside", lan: 1);
            foreach (var (name, port) in ((string, string)[])[("payments", "8080"), ("one", "8081"), ("two", "8082"), ("metrics", "15020")])
                await outside.ServeAsync("serving", CapturedShop.Python, CapturedMesh.Script("app.py"), name, port);
            await Servers.NginxAsync(outside);
            string[] hosts = ["payments", "one", "stranger"];
            var resolver = outside.Start(0, dnsmasq,
            [
                "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--user=root", "--pid-file", "--bind-interfaces", $"--listen-address={outside.Address}",
                .. hosts.Select(host => $"--host-record={host}.example.com,{outside.Address},{outside.Address6}"),
            ]);
            await mesh.ControlPlane.WriteRuleAsync("external.yaml", Documents.Replace("ADDRESS6", outside.Address6, StringComparison.Ordinal).Replace("ADDRESS", outside.Address, StringComparison.Ordinal));
            var caller = await mesh.AddAsync("caller", "caller", new CaptureShape { Resolver = outside.Address });
            var host = caller.Host;

            // By name and alias; the host arrives as it was sent.
            foreach (var name in (string[])["payments.example.com", "ext", "ext.default", "ext.default.svc.cluster.local", "bank"])
                await Eventually.PassesAsync(async () => Assert.Contains($"host: {name}\n", (await host.CurlAsync($"http://{name}/?headers")).Body.ToLowerInvariant(), StringComparison.Ordinal));
            Assert.Matches("^2[45][0-9][.]", (await host.RunAsync("getent", "ahostsv4", "payments.example.com")).Output);
            Assert.StartsWith("payments GET /", (await host.CurlAsync("-6", "http://payments.example.com/")).Body, StringComparison.Ordinal);

            // The application's own TLS, by its name; as a proxy asks for it, too.
            foreach (var flags in (string[][])[[], ["-x", "http://127.0.0.1:15001"]])
                Assert.Equal("payments.example.com HTTP/1.1\n200", (await host.CurlAsync([.. flags, "--http1.1", "-k", "https://payments.example.com/"])).Output);
            Assert.StartsWith("payments GET /", (await host.CurlAsync("-x", "http://127.0.0.1:15001", "http://payments.example.com/")).Body, StringComparison.Ordinal);

            // One port, two hosts: told apart as bytes.
            foreach (var name in (string[])["one", "two"]) Assert.StartsWith($"{name} GET /", (await host.CurlAsync($"http://{name}.example.com:7000/")).Body, StringComparison.Ordinal);

            // Nobody else: not by a name that rules do not have, not by the address, not by a port that is not declared.
            foreach (var url in (string[])["http://stranger.example.com:8080/", $"http://{outside.Address}:8080/", $"http://[{outside.Address6}]:8080/", $"http://{outside.Address}:15020/", $"http://[{outside.Address6}]:15020/", "http://payments.example.com:8080/"])
            {
                var refused = await host.CurlAsync(url);
                Assert.True(refused.Status is "502" or "503" or "000", refused.All);
                Assert.DoesNotContain(" GET /", refused.Body, StringComparison.Ordinal);
            }

            // Seen by their names.
            Assert.True(await caller.MetricAsync("istio_requests_total", "destination_service=\"payments.example.com\"", "response_code=\"200\"") > 0);
            Assert.True(await caller.MetricAsync("istio_requests_total", "destination_service=\"ext.default.svc.cluster.local\"", "response_code=\"200\"") > 0);
            Assert.True(await caller.MetricAsync("istio_tcp_connections_opened_total", "destination_service=\"one.example.com\"") > 0);
            using var open = await host.ConnectAsync("one.example.com", 7000); // bytes are an edge while they may flow
            await Eventually.PassesAsync(async () =>
            {
                foreach (var url in (string[])["http://payments.example.com/", "http://ext/"]) Assert.Equal("200", (await host.CurlAsync(url)).Status);
                var edges = (await mesh.ControlPlane.GetAsync(Mesh.Api.Operators.OperatorsApi.Edges)).GetProperty("edges").EnumerateArray();
                var called = edges.Select(edge => edge.GetProperty("destination").GetProperty("service").GetString()).ToArray();
                foreach (var name in (string[])["payments.example.com", "one.example.com", "ext"]) Assert.True(called.Contains(name), $"{name} is not among {string.Join(' ', called)}");
            });

            // DNS is away for longer than an answer is used: what was heard last holds.
            await resolver.KillAsync();
            await Task.Delay(TimeSpan.FromSeconds(6)); // real resolvers have no other clock
            Assert.StartsWith("one GET /", (await host.CurlAsync("http://one.example.com:7000/")).Body, StringComparison.Ordinal);
        });
    }
}
