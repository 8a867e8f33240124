using System.Diagnostics;
using System.Net;
using Mesh.EndToEnd.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Identity;

/// <summary>A revoked identity is cut off on all sidecars, as caller and as server, until it is taken back.</summary>
public sealed class RevocationTests
{
    private static readonly TimeSpan Promise = TimeSpan.FromSeconds(30);

    [Theory]
    [InlineData("client")]
    [InlineData("db")]
    public async Task Revoking_ends_what_runs_and_taking_it_back_mends_it(string account)
    {
        await using var bed = await MeshTestbed.StartAsync();
        await bed.RunAsync(async () =>
        {
            var echo = bed.Own(new EchoServer());
            await bed.AddPortAsync("db", "db-1", echo.Port, "tcp");
            await bed.AddAsync("web", "web-1");
            var client = await bed.AddClientAsync("client", "--upstream", "db=127.0.0.1:0:tcp");
            var bystander = await bed.AddClientAsync("bystander");
            using var http = client.Client();
            using var other = bystander.Client();
            await Eventually.PassesAsync(async () => (await http.GetAsync("http://web/")).EnsureSuccessStatusCode());
            await Eventually.PassesAsync(async () => (await other.GetAsync("http://web/")).EnsureSuccessStatusCode());
            await using var stream = await SteadyStream.OpenAsync(client.Upstream("db"));
            await stream.AssertAliveAsync();

            var revoked = Stopwatch.StartNew();
            await bed.ControlPlane.MeshctlAsync(["identity", "revoke", $"ns/default/sa/{account}", "--reason", "test"]);
            await Assert.ThrowsAnyAsync<IOException>(() => stream.Ended.WaitAsync(Promise - revoked.Elapsed));
            Assert.Contains($"/sa/{account}", await bed.ControlPlane.MeshctlAsync(["identity", "revocations"]), StringComparison.Ordinal);
            await Eventually.PassesAsync(async () =>
            {
                await using var again = await SteadyStream.OpenAsync(client.Upstream("db"));
                await Assert.ThrowsAnyAsync<IOException>(() => again.Ended.WaitAsync(TimeSpan.FromSeconds(2)));
            });
            if (account == "client") await Eventually.PassesAsync(async () => Assert.NotEqual(HttpStatusCode.OK, (await http.GetAsync("http://web/")).StatusCode));
            for (var i = 0; i < 20; i++) (await other.GetAsync("http://web/")).EnsureSuccessStatusCode();

            await bed.ControlPlane.MeshctlAsync(["identity", "unrevoke", $"ns/default/sa/{account}"]);
            await Eventually.PassesAsync(async () =>
            {
                (await http.GetAsync("http://web/")).EnsureSuccessStatusCode();
                await using var back = await SteadyStream.OpenAsync(client.Upstream("db"));
                await back.AssertAliveAsync();
            }, seconds: 90);
        });
    }

    [Fact]
    public async Task A_revoked_identity_gets_no_certificate_even_after_the_control_plane_was_started_again()
    {
        await using var bed = await MeshTestbed.StartAsync();
        await bed.RunAsync(async () =>
        {
            var token = await bed.ControlPlane.JoinTokenAsync("web");
            await bed.ControlPlane.MeshctlAsync(["identity", "revoke", "ns/default/sa/web"]);
            await bed.ControlPlane.RestartAsync();
            Assert.Contains("/sa/web", await bed.ControlPlane.MeshctlAsync(["identity", "revocations"]), StringComparison.Ordinal);
            var refused = bed.Own(await SidecarProcess.LaunchAsync("web-1", ["--control-plane", bed.ControlPlane.MeshApi, "--service", "web"], token));

            await Eventually.HoldsAsync(() => refused.Process.HasExited || refused.Process.Output.Contains("revoked", StringComparison.Ordinal), "it is told why");
            Assert.Contains("is revoked", await bed.ControlPlane.MeshctlAsync(["token", "create", "--identity", "ns/default/sa/web"], 1), StringComparison.Ordinal);
        });
    }
}
