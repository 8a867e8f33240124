using System.Text.Json;
using Mesh.EndToEnd.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Interop;

/// <summary>gRPC libraries that are not ours call a service through <c>xds:///</c>, with our control plane as their only configuration.</summary>
public sealed class XdsClientTests
{
    [SkippableTheory]
    [InlineData("grpc-js", false)]
    [InlineData("grpc-js", true)]
    [InlineData("c-core", false)]
    [InlineData("c-core", true)]
    public async Task A_grpc_library_calls_a_service_and_follows_its_endpoints(string library, bool consul)
    {
        await NodePackages.RequireAsync();
        if (library == "c-core") await Python.RequireGrpcAsync();
        await using var bed = await MeshTestbed.StartPlaintextAsync(consul);
        await bed.RunAsync(async () =>
        {
            await using var one = NodePackages.Start("server.js", ["one"]);
            await using var two = NodePackages.Start("server.js", ["two"]);
            await bed.ControlPlane.RegisterAsync("echo", "echo-1", await PortAsync(one), ("protocol", "grpc"));
            using var folder = new TemporaryFolder();
            await using var client = await StartClientAsync(library, bed.ControlPlane.Xds, folder, "xds:///echo");

            await Eventually.PassesAsync(async () => Assert.Equal((3, 0, 0), await CallAsync(client, 3)));

            await bed.ControlPlane.RegisterAsync("echo", "echo-2", await PortAsync(two), ("protocol", "grpc"));
            await Eventually.PassesAsync(async () =>
            {
                var (first, second, failed) = await CallAsync(client, 4);
                Assert.Equal((2, 2, 0), (first, second, failed));
            });

            await bed.ControlPlane.DeregisterAsync("echo-1");
            await Eventually.PassesAsync(async () => Assert.Equal((0, 4, 0), await CallAsync(client, 4)));
        });
    }

    private static async Task<int> PortAsync(ChildProcess server) =>
        JsonDocument.Parse(await server.NextLineAsync()).RootElement.GetProperty("port").GetInt32();

    private static async Task<ChildProcess> StartClientAsync(string library, string xds, TemporaryFolder folder, string target)
    {
        var bootstrap = folder["bootstrap.json"];
        await File.WriteAllTextAsync(bootstrap, $$"""
            {"xds_servers": [{"server_uri": "{{xds}}", "channel_creds": [{"type": "insecure"}], "server_features": ["xds_v3"]}],
             "node": {"id": "caller-1", "cluster": "caller", "locality": {} } }
            """);
        return library == "grpc-js"
            ? NodePackages.Start("client.js", [target], ("GRPC_XDS_BOOTSTRAP", bootstrap))
            : ChildProcess.Start("/usr/bin/python3", [Programs.Interop("python/client.py"), target], ("GRPC_XDS_BOOTSTRAP", bootstrap), ("http_proxy", null));
    }

    private static async Task<(int One, int Two, int Failed)> CallAsync(ChildProcess client, int count)
    {
        await client.TellAsync($"{count}");
        var answer = JsonDocument.Parse(await client.NextLineAsync()).RootElement;
        return (By("one"), By("two"), answer.GetProperty("errors").GetArrayLength());

        int By(string name) => answer.GetProperty("by").TryGetProperty(name, out var n) ? n.GetInt32() : 0;
    }
}
