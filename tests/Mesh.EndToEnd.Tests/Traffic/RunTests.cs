using System.Text.Json;
using Mesh.EndToEnd.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Traffic;

/// <summary>A program put into the mesh by <c>meshctl run</c>, stopped under load.</summary>
public sealed class RunTests
{
    [SkippableFact]
    public async Task A_program_stopped_under_load_loses_nothing_and_meshctl_exits_with_its_code()
    {
        ExternalProgram.Require("fortio");
        await using var bed = await MeshTestbed.StartAsync();
        await bed.RunAsync(async () =>
        {
            using var folder = new TemporaryFolder();
            var stays = await bed.AddAsync("web", "stays");
            var port = FreePorts.One();
            await using var run = ChildProcess.Start(Programs.Meshctl,
                ["run", "--service", "web", "--port", $"{port}:http", "--control-plane", bed.ControlPlane.Xds, "--sidecar", Programs.Sidecar,
                    "--", Programs.EchoApp, "goes", $"{port}", folder["ledger"]]);
            var client = await bed.AddClientAsync();
            using var http = client.Client();
            await Eventually.PassesAsync(async () =>
            {
                run.MustRun();
                Assert.Equal("goes GET /", await http.GetStringAsync("http://web/"));
            });

            await using var load = Load.Start(client.Outbound, "/?delay=30", "web", new LoadShape());
            await Eventually.HoldsAsync(() => stays.App.Requests > 50, "load runs");
            Assert.Equal(0, await run.StopAsync());
            var before = stays.App.Requests;
            await Eventually.HoldsAsync(() => stays.App.Requests > before + 100, "the other instance takes all");
            var result = await load.EndAsync();

            Assert.True(result.Bad == 0, $"lost requests: {string.Join(", ", result.Codes)}\n{result.Output}\n{run.Output}");
            var gone = JsonSerializer.Deserialize<Dictionary<string, int>>(await File.ReadAllTextAsync(folder["ledger"]))!;
            Assert.NotEmpty(gone);
            Assert.DoesNotContain(gone.Concat(stays.App.Ledger), e => e.Value > 1);
            Assert.DoesNotContain(gone.Keys, id => stays.App.Ledger.ContainsKey(id));
            Assert.InRange(gone.Count + stays.App.Ledger.Count, result.Good, int.MaxValue);
        });
    }
}
