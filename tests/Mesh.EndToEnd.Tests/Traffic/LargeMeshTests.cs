using System.Text;
using Mesh.EndToEnd.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Traffic;

/// <summary>A mesh of thousands of services: its configuration does not fit into one message of gRPC's usual size.</summary>
public sealed class LargeMeshTests
{
    private const int Services = 3000;
    private const int PerFile = 100;

    [Fact]
    public async Task A_sidecar_gets_three_thousand_services_of_ten_endpoints()
    {
        await using var bed = await MeshTestbed.StartAsync();
        await bed.RunAsync(async () =>
        {
            for (var file = 0; file < Services / PerFile; file++)
                await bed.ControlPlane.WriteRuleAsync($"services-{file}.yaml", string.Join("---\n", Enumerable.Range(file * PerFile, PerFile).Select(Documents)));
            await bed.AddAsync("web", "web-1");
            var client = await bed.AddClientAsync();
            using var http = client.Client();
            await Eventually.PassesAsync(async () => Assert.Equal("web-1 GET /", await http.GetStringAsync("http://web/")));

            using var admin = new HttpClient(new SocketsHttpHandler { UseProxy = false });
            await Eventually.PassesAsync(async () =>
            {
                var clusters = await admin.GetStringAsync($"http://{client.Admin}/clusters");
                var endpoints = clusters.Split('\n').Where(l => l.Contains("::10.", StringComparison.Ordinal) && l.Contains("::health_flags::healthy", StringComparison.Ordinal));
                Assert.Equal(Services * 10, endpoints.Distinct(StringComparer.Ordinal).Count());
            });
        });
    }

    private static string Documents(int number)
    {
        var text = new StringBuilder($$"""
            {apiVersion: v1, kind: Service, metadata: {name: service-{{number}}}, spec: {ports: [{name: http, port: 80}] } }
            ---
            apiVersion: discovery.k8s.io/v1
            kind: EndpointSlice
            metadata: {name: service-{{number}}, labels: {kubernetes.io/service-name: service-{{number}} } }
            addressType: IPv4
            ports: [{name: http, port: 8080}]
            endpoints:

            """);
        for (var i = 0; i < 10; i++) text.Append($"- addresses: [10.{number / 250}.{number % 250}.{i + 1}]\n");
        return text.ToString();
    }
}
