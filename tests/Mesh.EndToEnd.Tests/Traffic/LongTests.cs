using System.Text.Json;
using Mesh.EndToEnd.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Traffic;

/// <summary>Lossless traffic over minutes: run by <c>./test.sh --all</c>.</summary>
[Trait("Category", "Long")]
public sealed class LongTests
{
    [SkippableTheory]
    [InlineData("GET")]
    [InlineData("POST")]
    public async Task Rolling_restarts_at_a_high_rate_lose_nothing(string method)
    {
        ExternalProgram.Require("fortio");
        await using var bed = await MeshTestbed.StartAsync();
        await bed.RunAsync(async () =>
        {
            var apps = new List<EchoApp>();
            var serving = new Queue<Instance>();
            for (var i = 0; i < 3; i++) await AddAsync();
            var client = await bed.AddClientAsync();
            using (var http = client.Client()) await Eventually.PassesAsync(async () => (await http.GetAsync("http://web/")).EnsureSuccessStatusCode());

            string[] more = method == "POST" ? ["-payload-size", "3000"] : [];
            await using var load = Load.Start(client.Outbound, "/", "web", new LoadShape(Rate: 600, Connections: 16, more));
            for (var round = 0; round < 6; round++)
            {
                await AddAsync();
                var old = serving.Dequeue();
                Assert.Equal(0, await old.Sidecar.Process.StopAsync());
            }

            (await load.EndAsync()).AssertLossless([.. apps]);
            Assert.All(apps, app => Assert.InRange(app.Requests, 1, int.MaxValue));

            async Task AddAsync()
            {
                var added = await bed.AddAsync("web", $"web-{apps.Count}");
                apps.Add(added.App);
                serving.Enqueue(added);
            }
        });
    }

    [SkippableFact]
    public async Task A_minute_without_a_control_plane_changes_nothing()
    {
        ExternalProgram.Require("fortio");
        await using var bed = await MeshTestbed.StartAsync();
        await bed.RunAsync(async () =>
        {
            var web = await bed.AddAsync("web", "web-1");
            var client = await bed.AddClientAsync();
            using (var http = client.Client()) await Eventually.PassesAsync(async () => (await http.GetAsync("http://web/")).EnsureSuccessStatusCode());
            await using var load = Load.Start(client.Outbound, "/", "web", new LoadShape(Rate: 100));
            await bed.ControlPlane.KillAsync();
            await Task.Delay(TimeSpan.FromSeconds(60));
            await bed.ControlPlane.LaunchAsync();
            var second = await bed.AddAsync("web", "web-2");
            await Eventually.HoldsAsync(() => second.App.Requests > 50, "news arrives again after the outage", seconds: 60);
            (await load.EndAsync()).AssertLossless(web.App, second.App);
        });
    }

    [SkippableFact]
    public async Task Grpc_calls_survive_instances_that_come_and_go()
    {
        var fortio = ExternalProgram.Require("fortio");
        await using var bed = await MeshTestbed.StartAsync();
        await bed.RunAsync(async () =>
        {
            await using var one = StartPing(fortio, out var first);
            await using var two = StartPing(fortio, out var second);
            await bed.AddPortAsync("ping", "ping-1", first, "grpc");
            var leaves = await bed.AddPortAsync("ping", "ping-2", second, "grpc");
            var client = await bed.AddClientAsync("client", "--upstream", "ping=127.0.0.1:0:grpc");
            using var folder = new TemporaryFolder();
            await using var load = ChildProcess.Start(fortio,
                ["load", "-quiet", "-grpc", "-ping", "-qps", "200", "-c", "8", "-t", "0", "-allow-initial-errors", "-json", folder["result.json"], client.Upstream("ping")]);
            await Task.Delay(TimeSpan.FromSeconds(3));
            Assert.Equal(0, await leaves.Process.StopAsync());
            await Task.Delay(TimeSpan.FromSeconds(3));
            await bed.AddPortAsync("ping", "ping-3", second, "grpc");
            await Task.Delay(TimeSpan.FromSeconds(3));
            load.MustRun();
            load.Signal(ChildProcess.SigInt);
            await load.WaitAsync(30);
            using var json = JsonDocument.Parse(await File.ReadAllTextAsync(folder["result.json"]));
            var codes = json.RootElement.GetProperty("RetCodes").EnumerateObject().ToDictionary(c => c.Name, c => c.Value.GetInt32(), StringComparer.Ordinal);
            Assert.True(codes.Keys.All(c => c == "SERVING"), $"{string.Join(", ", codes)}\n{load.Output}");
            Assert.InRange(codes["SERVING"], 500, int.MaxValue);
        });
    }

    private static ChildProcess StartPing(string fortio, out int port)
    {
        port = FreePorts.One();
        return ChildProcess.Start(fortio,
            ["server", "-quiet", "-grpc-port", $"127.0.0.1:{port}", "-http-port", "disabled", "-tcp-port", "disabled", "-udp-port", "disabled", "-redirect-port", "disabled"]);
    }
}
