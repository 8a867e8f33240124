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
                ["run", "--service", "web", "--port", $"{port}:http", "--sidecar", Programs.Sidecar,
                    "--", Programs.EchoApp, "goes", $"{port}", folder["ledger"]], bed.ControlPlane.OperatorsEnvironment);
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

    [SkippableFact]
    public async Task A_program_killed_under_load_loses_only_what_was_in_flight_on_it()
    {
        ExternalProgram.Require("fortio");
        await using var bed = await MeshTestbed.StartAsync();
        await bed.RunAsync(async () =>
        {
            var stays = await bed.AddAsync("web", "stays");
            using var folder = new TemporaryFolder();
            var port = FreePorts.One();
            await using var run = ChildProcess.Start(Programs.Meshctl,
                ["run", "--service", "web", "--port", $"{port}:http", "--sidecar", Programs.Sidecar,
                    "--", "/bin/sh", "-c", $"echo $$; exec {Programs.EchoApp} goes {port} {folder["ledger"]}"], bed.ControlPlane.OperatorsEnvironment);
            var app = int.Parse(await run.NextLineAsync(), System.Globalization.CultureInfo.InvariantCulture);
            var client = await bed.AddClientAsync();
            using var http = client.Client();
            await Eventually.PassesAsync(async () => Assert.Equal("goes GET /", await http.GetStringAsync("http://web/")));

            await using var load = Load.Start(client.Outbound, "/?delay=20", "web", new LoadShape());
            await Eventually.HoldsAsync(() => stays.App.Requests > 100, "load runs");
            ChildProcess.Signal(app, ChildProcess.SigKill);
            Assert.Equal(128 + ChildProcess.SigKill, await run.WaitAsync(40));
            var before = stays.App.Requests;
            await Eventually.HoldsAsync(() => stays.App.Requests > before + 200, "the other instance takes all");
            var result = await load.EndAsync();
            LoadResult.AssertNothingTwice(stays.App);
            // Eight connections carry the load, so no more can have been in flight.
            Assert.True(result.Bad <= 8, $"more failed than were in flight: {string.Join(", ", result.Codes)}\n{client.Process.Output}");
        });
    }
}
