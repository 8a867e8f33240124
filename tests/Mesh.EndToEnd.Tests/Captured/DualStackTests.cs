using Mesh.EndToEnd.Tests.Testbed;
using Mesh.EndToEnd.Tests.Testbed.Network;
using Mesh.Tests;
using static Mesh.EndToEnd.Tests.Captured.ProtocolNetwork;

namespace Mesh.EndToEnd.Tests.Captured;

/// <summary>
/// Workloads of two families whose join tokens grant no address: each of theirs counts when a connection to the control plane came from it. Where the control plane is
/// reached by one family, the other one's addresses are nobody's.
/// </summary>
public sealed class DualStackTests
{
    private static readonly CaptureShape Proving = new() { IsGranted = false, Ports = ["8080:http:web"] };

    [SkippableFact]
    public async Task The_other_address_is_of_the_mesh_where_the_control_plane_is_reached_from_it()
    {
        await using var mesh = await CapturedMesh.StartAsync(NetworkTestbed.Create(), new ControlPlaneShape { IsDualStack = true });
        await mesh.RunAsync(async () =>
        {
            string[] both = [mesh.Control.Address, mesh.Control.Address6], one = [mesh.Control.Address];
            var made = await Task.WhenAll(
                mesh.AddAsync("caller", "caller", new CaptureShape { IsGranted = false, ControlPlane = both }),
                ServeAsync(mesh, "four", Proving with { ControlPlane = both }),
                ServeAsync(mesh, "six", Proving with { ControlPlane = both, IsV6 = true }),
                ServeAsync(mesh, "tables", Proving with { ControlPlane = both, Mode = "tproxy", Backend = "iptables" }),
                ServeAsync(mesh, "alone", Proving with { ControlPlane = one }));
            var (caller, alone) = (made[0], made[^1]);
            await CapturedMesh.KnowsAsync(caller, made[1..]);
            foreach (var server in made[1..^1])
            {
                foreach (var address in (string[])[server.Host.Address, server.Host.Address6])
                {
                    // The second one is proved when the first one is registered.
                    await Eventually.PassesAsync(async () => Assert.Contains("sa/caller", (await caller.Host.CurlAsync($"http://{InUrl(address)}:8080/?headers")).Body, StringComparison.Ordinal), 60);
                    await Secrecy.HoldsAsync(mesh.Network, caller, server, async () =>
                        Assert.StartsWith($"{server.Host.Name} GET / ", (await caller.Host.CurlAsync($"http://{InUrl(address)}:8080/")).Body, StringComparison.Ordinal));
                }

                Assert.DoesNotContain("not taken all", server.Log, StringComparison.Ordinal);
            }

            // Nobody has seen a connection from there: called as what it may be, a machine that knows no mesh.
            Assert.Contains("sa/caller", (await caller.Host.CurlAsync($"http://{alone.Host.Address}:8080/?headers")).Body, StringComparison.Ordinal);
            await Eventually.HoldsAsync(() => alone.Log.Contains($"not taken all that this workload says of itself reason=\"left out, since no connection proved that they are the workload's: {alone.Host.Address6}", StringComparison.Ordinal), "it is told");
            var unproved = await caller.Host.CurlAsync($"http://{InUrl(alone.Host.Address6)}:8080/?headers");
            Assert.Equal("200", unproved.Status);
            Assert.DoesNotContain("sa/caller", unproved.Body, StringComparison.Ordinal);
        });
    }

    private static async Task<CapturedWorkload> ServeAsync(CapturedMesh mesh, string name, CaptureShape shape)
    {
        var made = await mesh.AddAsync(name, name, shape);
        await made.Host.ServeAsync("serving", CapturedShop.Python, CapturedMesh.Script("app.py"), name, "8080");
        return made;
    }
}
