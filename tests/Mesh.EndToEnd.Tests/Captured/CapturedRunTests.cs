using Mesh.EndToEnd.Tests.Testbed;
using Mesh.EndToEnd.Tests.Testbed.Network;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Captured;

/// <summary><c>meshctl run --capture</c> on a machine with a control plane on its loopback: programs that know nothing call each other by name.</summary>
public sealed class CapturedRunTests
{
    [SkippableFact]
    public async Task Programs_in_namespaces_of_their_own_and_users_of_the_machine_call_each_other_by_name()
    {
        ExternalProgram.Require("curl");
        await using var network = NetworkTestbed.Create();
        var machine = network.Add("machine");
        await using var plane = await ControlPlaneProcess.StartAsync(new ControlPlaneShape { Host = machine, OnLoopback = true });
        var outside = network.Add("outside", lan: 1);
        await outside.ServeAsync("serving", CapturedShop.Python, CapturedMesh.Script("app.py"), "outside", "8080");
        var before = Namespaces();
        var web = Run(machine, plane, "web", ["--capture", "--port", "8080:http"], CapturedShop.Python, CapturedMesh.Script("app.py"), "web", "8080");
        await Eventually.HoldsAsync(() => web.HasExited || web.Output.Contains("serving", StringComparison.Ordinal), "the program is started", 60);
        web.MustRun();
        Assert.Single(Namespaces().Except(before));

        foreach (var (place, client) in ((string, string)[])[("netns", "shell"), ($"uid:{NetworkHost.AppUser}", "user")])
        {
            // Registered once it accepts, known to the caller soon after.
            await Eventually.PassesAsync(async () => await AskAsync(machine, plane, client, place, "http://web:8080/?headers", $"URI=spiffe://cluster.local/ns/default/sa/{client}"), 60);
            // No proxy variables, and the world outside is where it was.
            await AskAsync(machine, plane, client, place, $"http://{outside.Address}:8080/", "outside GET /");
        }

        var said = await EndAsync(Run(machine, plane, "env", ["--capture"], "sh", "-c", "env; exit 7"), 7);
        Assert.DoesNotContain("_proxy=", said, StringComparison.OrdinalIgnoreCase);
        await web.StopAsync();
        Assert.Empty(Namespaces().Except(before));
        Assert.DoesNotContain("mesh-run", (await machine.RunAsync(0, "", "ip", "link")).Output, StringComparison.Ordinal);
        Assert.DoesNotContain("mesh", (await machine.RunAsync(0, "", "nft", "list", "tables")).Output, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Who_is_not_root_is_told_so()
    {
        Skip.IfNot(Environment.IsPrivilegedProcess, "to become somebody else needs root");
        ExternalProgram.Require("setpriv");
        await using var run = ChildProcess.Start("setpriv", ["--reuid", "1000", "--regid", "1000", "--clear-groups", Programs.Meshctl, "run", "--capture", "--service", "x", "--", "true"]);
        Assert.Equal(1, await run.WaitAsync(30));
        Assert.Contains("--capture needs root", run.Output, StringComparison.Ordinal);
    }

    private static async Task AskAsync(NetworkHost machine, ControlPlaneProcess plane, string client, string place, string url, string expected)
    {
        var said = await EndAsync(Run(machine, plane, client, [$"--capture={place}"], "curl", "-sS", "--max-time", "5", url), null);
        Assert.Contains(expected, said, StringComparison.Ordinal);
    }

    private static ChildProcess Run(NetworkHost machine, ControlPlaneProcess plane, string service, string[] flags, params string[] command) =>
        machine.Start(0, Programs.Meshctl, ["run", "--service", service, .. flags, "--", .. command], plane.OperatorsEnvironment);

    private static async Task<string> EndAsync(ChildProcess run, int? code)
    {
        var ended = await run.WaitAsync(60);
        Assert.True(code is null || ended == code, $"ended with {ended}: {run.Output}");
        return run.Output;
    }

    private static string[] Namespaces() =>
        Directory.Exists("/run/netns") ? [.. Directory.EnumerateFileSystemEntries("/run/netns").Select(p => Path.GetFileName(p)).Where(n => n.StartsWith("mesh-run-", StringComparison.Ordinal))] : [];
}
