using Mesh.EndToEnd.Tests.Testbed;
using Mesh.EndToEnd.Tests.Testbed.Network;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Captured;

/// <summary><c>meshctl run --capture</c> on a machine with a control plane on its loopback: programs that know nothing call each other by name.</summary>
public sealed class CapturedRunTests
{
    /// <summary>What runs beside these tests, or was left by what does.</summary>
    private static readonly string[] OfOthers = Folders();

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

        foreach (var (place, client) in ((string, string)[])[("netns", "shell"), ($"uid:{NetworkHost.AppUser}", "user"), ("cgroup", "group"), ("here", "all")])
        {
            // Registered once it accepts, known to the caller soon after.
            await Eventually.PassesAsync(async () => await AskAsync(machine, plane, client, place, "http://web:8080/?headers", $"URI=spiffe://cluster.local/ns/default/sa/{client}"), 60);
            // No proxy variables, and the world outside is where it was.
            await AskAsync(machine, plane, client, place, $"http://{outside.Address}:8080/", "outside GET /");
            Assert.DoesNotContain("table inet mesh", (await machine.RunAsync(0, "", "nft", "list", "tables")).Output, StringComparison.Ordinal);
        }

        var said = await EndAsync(Run(machine, plane, "env", ["--capture"], "sh", "-c", "env; exit 7"), 7);
        Assert.DoesNotContain("_proxy=", said, StringComparison.OrdinalIgnoreCase);
        await web.StopAsync();
        Assert.Empty(Namespaces().Except(before));
        await NothingIsLeftAsync(machine);
    }

    [SkippableTheory]
    [InlineData("netns")]
    [InlineData("uid:1000")]
    [InlineData("cgroup")]
    [InlineData("here")]
    public async Task What_a_run_has_made_goes_with_it_and_what_a_killed_one_left_goes_with_the_next(string place)
    {
        await using var network = NetworkTestbed.Create();
        var machine = network.Add("machine");
        await using var plane = await ControlPlaneProcess.StartAsync(new ControlPlaneShape { Host = machine, OnLoopback = true });
        var stopped = await StartSleeperAsync(machine, plane, place);
        stopped.Signal(ChildProcess.SigTerm);
        Assert.Equal(143, await stopped.WaitAsync(60));
        await NothingIsLeftAsync(machine);

        var killed = await StartSleeperAsync(machine, plane, place);
        var program = int.Parse(killed.Output.Split("pid ")[1].Split('\n')[0], System.Globalization.CultureInfo.InvariantCulture);
        killed.Signal(ChildProcess.SigKill);
        await Eventually.HoldsAsync(() => killed.HasExited, "it is killed");
        // In a network namespace of its own what is left ends by itself; else it goes on, captured as it was.
        if (place == "netns") await Eventually.HoldsAsync(() => !IsAlive(program), "the program ends");
        else Assert.True(IsAlive(program), "the program goes on");
        var next = await EndAsync(Run(machine, plane, "next", [$"--capture={place}"], "sh", "-c", "echo hello"), 0);
        Assert.Contains("hello", next, StringComparison.Ordinal);
        if (place != "netns") Assert.Contains("an earlier run was killed", next, StringComparison.Ordinal);
        Assert.False(IsAlive(program), "the killed run's program is still there");
        await NothingIsLeftAsync(machine);
    }

    [SkippableFact]
    public async Task One_run_at_a_time_captures_a_machine()
    {
        await using var network = NetworkTestbed.Create();
        var machine = network.Add("machine");
        await using var plane = await ControlPlaneProcess.StartAsync(new ControlPlaneShape { Host = machine, OnLoopback = true });
        var first = await StartSleeperAsync(machine, plane, "here");
        foreach (var place in (string[])["here", "uid:1000"])
            Assert.Contains("traffic is captured here already, by meshctl run", await EndAsync(Run(machine, plane, "second", [$"--capture={place}"], "true"), 1), StringComparison.Ordinal);
        Assert.Contains("table inet mesh", (await machine.RunAsync(0, "", "nft", "list", "tables")).Output, StringComparison.Ordinal);
        await first.StopAsync();
        await NothingIsLeftAsync(machine);
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

    /// <summary>A run whose program sleeps, and says who it is; the process of meshctl is the one returned.</summary>
    private static async Task<ChildProcess> StartSleeperAsync(NetworkHost machine, ControlPlaneProcess plane, string place)
    {
        var run = Run(machine, plane, "sleeper", [$"--capture={place}"], "sh", "-c", "echo pid $$; exec sleep 1000");
        await Eventually.HoldsAsync(() => run.HasExited || run.Output.Contains("pid ", StringComparison.Ordinal), "the program is started", 60);
        run.MustRun();
        return run;
    }

    private static bool IsAlive(int process) => File.Exists($"/proc/{process}/stat") && !File.ReadAllText($"/proc/{process}/stat").Contains(") Z ", StringComparison.Ordinal);

    private static async Task NothingIsLeftAsync(NetworkHost machine)
    {
        Assert.DoesNotContain("mesh-run", (await machine.RunAsync(0, "", "ip", "link")).Output, StringComparison.Ordinal);
        Assert.DoesNotContain("mesh", (await machine.RunAsync(0, "", "nft", "list", "tables")).Output, StringComparison.Ordinal);
        Assert.DoesNotContain("proto 133", (await machine.RunAsync(0, "", "ip", "route", "show", "table", "all")).Output, StringComparison.Ordinal);
        Assert.Equal("0", (await machine.RunAsync(0, "", "cat", "/proc/sys/net/ipv4/ip_forward")).Output.Trim());
        Assert.DoesNotContain("mesh-run", (await machine.RunAsync(0, "", "sh", "-c", "mount -t cgroup2 cgroup2 /sys/fs/cgroup && ls /sys/fs/cgroup")).Output, StringComparison.Ordinal);
        Assert.Empty(Folders().Except(OfOthers));
    }

    private static ChildProcess Run(NetworkHost machine, ControlPlaneProcess plane, string service, string[] flags, params string[] command) =>
        // The system's folder of cgroups, which ip netns exec hides.
        machine.Start(0, "sh", ["-c", "mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec \"$@\"", "sh", Programs.Meshctl, "run", "--service", service, .. flags, "--", .. command], plane.OperatorsEnvironment);

    private static async Task<string> EndAsync(ChildProcess run, int? code)
    {
        var ended = await run.WaitAsync(60);
        Assert.True(code is null || ended == code, $"ended with {ended}: {run.Output}");
        return run.Output;
    }

    private static string[] Folders() => Directory.Exists("/etc/netns") ? Directory.GetDirectories("/etc/netns", "mesh-run-*") : [];

    private static string[] Namespaces() =>
        Directory.Exists("/run/netns") ? [.. Directory.EnumerateFileSystemEntries("/run/netns").Select(p => Path.GetFileName(p)).Where(n => n.StartsWith("mesh-run-", StringComparison.Ordinal))] : [];
}
