using System.Globalization;
using Mesh.EndToEnd.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Identity;

/// <summary>
/// Certificates, issuers and roots change under constant load, and no request and no open connection notices. The certificates live for
/// seconds here, which the product itself refuses.
/// </summary>
[Trait("Category", "Long")]
public sealed class RenewalTests
{
    [SkippableFact]
    public async Task A_hundred_renewals_lose_nothing()
    {
        await using var run = await RenewingMesh.StartAsync(life: 10);
        await run.Bed.RunAsync(async () =>
        {
            var first = await run.RenewalsAsync();
            await Eventually.HoldsAsync(async () => await run.RenewalsAsync() >= first + 100, "a hundred renewals", seconds: 300);
            await run.AssertNothingLostAsync();
        });
    }

    [SkippableFact]
    public async Task A_rotation_of_the_root_loses_nothing()
    {
        await using var run = await RenewingMesh.StartAsync(life: 20);
        await run.Bed.RunAsync(async () =>
        {
            var before = await RootsAsync(run);
            await run.Bed.ControlPlane.MeshctlAsync(["ca", "rotate", "--rehearse"]);
            Assert.Equal(before, await RootsAsync(run));
            await run.Bed.ControlPlane.MeshctlAsync(["ca", "rotate"]);
            Assert.Empty((await RootsAsync(run)).Intersect(before, StringComparer.Ordinal));
            // A newcomer and those who were there understand each other.
            var late = await run.Bed.AddClientAsync("late");
            using var http = late.Client();
            await Eventually.PassesAsync(async () => (await http.GetAsync("http://web/")).EnsureSuccessStatusCode());
            await run.AssertNothingLostAsync();
        });
    }

    [SkippableFact]
    public async Task A_rotation_of_the_root_goes_on_after_a_kill_in_each_phase_and_loses_nothing()
    {
        await using var run = await RenewingMesh.StartAsync(life: 30);
        await run.Bed.RunAsync(async () =>
        {
            var before = await RootsAsync(run);
            await run.Bed.ControlPlane.RotateAsync();
            var killedIn = new HashSet<string>(StringComparer.Ordinal);
            string phase;
            do
            {
                phase = (await run.Bed.ControlPlane.GetAsync("/api/ca")).GetProperty("rotation").GetProperty("phase").GetString()!;
                if (!killedIn.Add(phase)) await Task.Delay(TimeSpan.FromMilliseconds(200));
                else
                {
                    await run.Bed.ControlPlane.KillAsync();
                    await run.Bed.ControlPlane.LaunchAsync();
                }
            }
            while (phase != "done");
            Assert.Equal(["distribute", "done", "renew"], killedIn.Order(StringComparer.Ordinal));
            Assert.Empty((await RootsAsync(run)).Intersect(before, StringComparer.Ordinal));
            await run.AssertNothingLostAsync();
        });
    }

    [SkippableFact]
    public async Task An_authority_that_is_away_for_less_than_a_life_is_not_missed()
    {
        await using var run = await RenewingMesh.StartAsync(life: 60);
        await run.Bed.RunAsync(async () =>
        {
            await run.Bed.ControlPlane.KillAsync();
            // Past the moment of renewal, short of the end.
            await Task.Delay(TimeSpan.FromSeconds(25));
            await run.Bed.ControlPlane.LaunchAsync();
            var first = await run.RenewalsAsync();
            await Eventually.HoldsAsync(async () => await run.RenewalsAsync() >= first + 2, "renewals go on", seconds: 90);
            await run.AssertNothingLostAsync();
        });
    }

    private static async Task<List<string>> RootsAsync(RenewingMesh run) =>
        [.. (await run.Bed.ControlPlane.GetAsync("/api/ca")).GetProperty("roots").EnumerateArray().Select(r => r.GetProperty("sha256").GetString()!).Order(StringComparer.Ordinal)];

    /// <summary>A service, a client, a load and a TCP stream between them, with short-lived certificates.</summary>
    private sealed class RenewingMesh(MeshTestbed bed, Instance web, Load load, SteadyStream stream) : IAsyncDisposable
    {
        public MeshTestbed Bed { get; } = bed;

        public static async Task<RenewingMesh> StartAsync(int life)
        {
            ExternalProgram.Require("fortio");
            var bed = await MeshTestbed.StartAsync(shape: new ControlPlaneShape { CertificateLife = life });
            try
            {
                var web = await bed.AddAsync("web", "web-1");
                var echo = bed.Own(new EchoServer());
                await bed.AddPortAsync("db", "db-1", echo.Port, "tcp");
                var client = await bed.AddClientAsync("client", "--upstream", "db=127.0.0.1:0:tcp");
                using (var http = client.Client()) await Eventually.PassesAsync(async () => (await http.GetAsync("http://web/")).EnsureSuccessStatusCode());
                var stream = await SteadyStream.OpenAsync(client.Upstream("db"));
                await stream.AssertAliveAsync();
                return new RenewingMesh(bed, web, Load.Start(client.Outbound, "/", "web", new LoadShape(Rate: 100)), stream);
            }
            catch
            {
                await bed.DisposeAsync();
                throw;
            }
        }

        /// <summary>Certificates the authority has issued so far, in this run of it.</summary>
        public async Task<int> RenewalsAsync()
        {
            var metrics = await Bed.ControlPlane.Http.GetStringAsync($"http://{Bed.ControlPlane.Health}/metrics");
            return metrics.Split('\n').Where(l => l.StartsWith("mesh_certificates_issued_total", StringComparison.Ordinal))
                .Sum(l => (int)double.Parse(l.Split(' ')[^1], CultureInfo.InvariantCulture));
        }

        public async Task AssertNothingLostAsync()
        {
            await stream.AssertAliveAsync();
            (await load.EndAsync()).AssertLossless(web.App);
        }

        public async ValueTask DisposeAsync()
        {
            await stream.DisposeAsync();
            await load.DisposeAsync();
            await Bed.DisposeAsync();
        }
    }
}
