using Mesh.EndToEnd.Tests.Testbed;
using Mesh.EndToEnd.Tests.Testbed.Network;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Captured;

/// <summary><c>meshctl run --capture</c> on a machine with a control plane on its loopback: programs that know nothing call each other by name.</summary>
public sealed class CapturedRunTests
{
    /// <summary>What was left here before by others.</summary>
    private static readonly string[] OfOthers = Orphans();

    private static readonly DateTime Started = DateTime.UtcNow;

    [SkippableFact]
    public async Task Programs_in_namespaces_of_their_own_and_users_of_the_machine_call_each_other_by_name()
    {
        ExternalProgram.Require("curl");
        await using var network = NetworkTestbed.Create();
        var machine = network.Add("machine");
        await using var plane = await ControlPlaneProcess.StartAsync(new ControlPlaneShape { Host = machine, OnLoopback = true });
        var outside = network.Add("outside", lan: 1);
        await outside.ServeAsync("serving", CapturedShop.Python, CapturedMesh.Script("app.py"), "outside", "8080");
        Assert.Empty(Namespaces(machine));
        var web = Run(machine, plane, "web", ["--capture", "--port", "8080:http"], CapturedShop.Python, CapturedMesh.Script("app.py"), "web", "8080");
        await Eventually.HoldsAsync(() => web.HasExited || web.Output.Contains("serving", StringComparison.Ordinal), "the program is started", 60);
        web.MustRun();
        Assert.Single(Namespaces(machine));

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
        await NothingIsLeftAsync(machine);
    }

    /// <summary>The control plane is on loopback, so it has to see another address than that of a connection there; and the machine's other ports are nobody's.</summary>
    [SkippableTheory]
    [InlineData("uid:1000")]
    [InlineData("cgroup")]
    public async Task A_part_of_a_machine_serves_its_ports_and_leaves_the_others_as_they_were(string place)
    {
        ExternalProgram.Require("curl");
        await using var network = NetworkTestbed.Create();
        var machine = network.Add("machine");
        await using var plane = await ControlPlaneProcess.StartAsync(new ControlPlaneShape { Host = machine, OnLoopback = true });
        await machine.ServeAsync("serving", CapturedShop.Python, CapturedMesh.Script("app.py"), "plain", "9090");
        var serving = await ServeAsync(machine, plane, "part", place);
        await Eventually.PassesAsync(async () => await AskAsync(machine, plane, "caller", "netns", "http://part:8080/?headers", "URI=spiffe://cluster.local/ns/default/sa/caller"), 60);
        await AskAsync(machine, plane, "caller", "netns", $"http://{machine.Address}:9090/", "plain GET /");
        Assert.DoesNotContain("refuse", serving.Output, StringComparison.OrdinalIgnoreCase);
        await serving.StopAsync();
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

    /// <summary>On one machine and on another of the same host, which share names and notes: what one takes away is its own.</summary>
    [SkippableFact]
    public async Task Runs_side_by_side_call_each_other_and_none_takes_anything_from_another()
    {
        await using var network = NetworkTestbed.Create();
        var (machine, other) = (network.Add("machine"), network.Add("other"));
        await using var plane = await ControlPlaneProcess.StartAsync(new ControlPlaneShape { Host = machine, OnLoopback = true });
        await using var others = await ControlPlaneProcess.StartAsync(new ControlPlaneShape { Host = other, OnLoopback = true });
        var started = await Task.WhenAll(
            ServeAsync(machine, plane, "one", "netns"), ServeAsync(machine, plane, "two", "netns"), ServeAsync(other, others, "one", "netns"), StartSleeperAsync(machine, plane, "uid:1000"));
        Assert.Equal((2, 1), (Namespaces(machine).Length, Namespaces(other).Length));
        // By the name, which leads to the IPv4 address, and by the instance's own of the other family: granted, so that nothing has to be said.
        await Eventually.PassesAsync(async () => await AskAsync(machine, plane, "caller", "netns", "http://two:8080/?headers", "sa/caller"), 60);
        foreach (var name in Namespaces(machine))
        {
            var address = $"[fdd5:6d65:7368::{int.Parse(name.Split('-')[^1], System.Globalization.CultureInfo.InvariantCulture):x}]";
            await Eventually.PassesAsync(async () => await AskAsync(machine, plane, "caller", "netns", $"http://{address}:8080/?headers", "sa/caller"), 60);
        }

        Assert.All(started[..3], run => Assert.DoesNotContain(" warn ", run.Output, StringComparison.Ordinal));
        await started[0].StopAsync();
        await started[2].StopAsync();
        await NothingIsLeftAsync(other);
        await AskAsync(machine, plane, "caller", "netns", "http://two:8080/?headers", "sa/caller");
        await started[1].StopAsync();
        Assert.Empty(Namespaces(machine));
        started[3].MustRun();
        Assert.Contains("table inet mesh", (await machine.RunAsync(0, "", "nft", "list", "tables")).Output, StringComparison.Ordinal);
        await started[3].StopAsync();
        await NothingIsLeftAsync(machine);
    }

    [SkippableTheory]
    [InlineData("netns")]
    [LongInlineData("uid:1000")]
    [InlineData("cgroup")]
    [LongInlineData("here")]
    public async Task Ctrl_C_at_the_terminal_ends_the_program_and_all_that_was_made_for_it(string place)
    {
        await using var network = NetworkTestbed.Create();
        var machine = network.Add("machine");
        await using var plane = await ControlPlaneProcess.StartAsync(new ControlPlaneShape { Host = machine, OnLoopback = true });
        // The terminal's signal is the program's, once: what it makes of it is what the run ends with.
        var decides = AtTerminal(machine, plane, place, "ready ", 1, "trap 'echo got it; exit 5' INT; echo ready $$; while :; do sleep 0.1; done");
        Assert.Contains("got it", await EndAsync(decides, 5), StringComparison.Ordinal);
        Assert.Equal(1, decides.Output.Split("got it").Length - 1);
        await NothingIsLeftAsync(machine);
        // One that does nothing about it is ended by it; and one that ignores the first is there until it has had its own.
        await EndAsync(AtTerminal(machine, plane, place, "ready ", 1, "echo ready $$; exec sleep 1000"), 130);
        await EndAsync(AtTerminal(machine, plane, place, "ready ", 2, "trap 'trap - INT; echo ready again' INT; echo ready $$; while :; do sleep 0.1; done"), 130);
        await NothingIsLeftAsync(machine);
        // Whoever types it again and again hurts nobody but the program.
        await EndAsync(AtTerminal(machine, plane, place, "ready ", 0, "echo ready $$; exec sleep 1000"), 130);
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

    private static async Task<ChildProcess> ServeAsync(NetworkHost machine, ControlPlaneProcess plane, string service, string place)
    {
        var run = Run(machine, plane, service, [$"--capture={place}", "--port", "8080:http"], CapturedShop.Python, CapturedMesh.Script("app.py"), service, "8080");
        await Eventually.HoldsAsync(() => run.HasExited || run.Output.Contains("serving", StringComparison.Ordinal), "the program is started", 60);
        run.MustRun();
        return run;
    }

    private static bool IsAlive(int process) => File.Exists($"/proc/{process}/stat") && !File.ReadAllText($"/proc/{process}/stat").Contains(") Z ", StringComparison.Ordinal);

    private static async Task NothingIsLeftAsync(NetworkHost machine)
    {
        Assert.Empty(Namespaces(machine));
        // The kernel uses numbers of namespaces again: older notes are of killed tests.
        Assert.DoesNotContain(((string[])["ip_forward", "rules"]).Select(kind => $"/run/mesh-run/{kind}-{Number(machine)}"), note => File.Exists(note) && File.GetLastWriteTimeUtc(note) > Started);
        Assert.DoesNotContain("mesh-run", (await machine.RunAsync(0, "", "ip", "link")).Output, StringComparison.Ordinal);
        Assert.DoesNotContain("mesh", (await machine.RunAsync(0, "", "nft", "list", "tables")).Output, StringComparison.Ordinal);
        Assert.DoesNotContain("proto 133", (await machine.RunAsync(0, "", "ip", "route", "show", "table", "all")).Output, StringComparison.Ordinal);
        Assert.Equal("0", (await machine.RunAsync(0, "", "cat", "/proc/sys/net/ipv4/ip_forward")).Output.Trim());
        await Eventually.PassesAsync(() =>
        {
            Assert.Empty(Orphans().Except(OfOthers));
            return Task.CompletedTask;
        });
    }

    private static ChildProcess Run(NetworkHost machine, ControlPlaneProcess plane, string service, string[] flags, params string[] command) =>
        // The system's folder of cgroups, which ip netns exec hides.
        machine.Start(0, "sh", ["-c", "mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec \"$@\"", "sh", Programs.Meshctl, "run", "--service", service, .. flags, "--", .. command], plane.OperatorsEnvironment);

    /// <summary>The same at a terminal of its own, where Ctrl-C is typed once the program has said these words, so often as it is to be.</summary>
    private static ChildProcess AtTerminal(NetworkHost machine, ControlPlaneProcess plane, string place, string words, int times, string script) => machine.Start(
        0, "sh", ["-c", "mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec \"$@\"", "sh", CapturedShop.Python, CapturedMesh.Script("terminal.py"), words, $"{times}", Programs.Meshctl, "run", "--service", "typed", $"--capture={place}", "--", "sh", "-c", script],
        plane.OperatorsEnvironment);

    private static async Task<string> EndAsync(ChildProcess run, int? code)
    {
        var ended = await run.WaitAsync(60);
        Assert.True(code is null || ended == code, $"ended with {ended}: {run.Output}");
        return run.Output;
    }

    /// <summary>The machine's network namespace as the kernel numbers it.</summary>
    private static string Number(NetworkHost machine) => machine.Namespace.Inside(() => string.Concat(new FileInfo("/proc/thread-self/ns/net").LinkTarget!.Where(char.IsAsciiDigit)));

    /// <summary>The network namespaces that runs on the machine have made. Others run on the same host.</summary>
    private static string[] Namespaces(NetworkHost machine) => Directory.Exists("/run/mesh-run")
        ? [.. Directory.GetFiles("/run/mesh-run", "run-*").Where(note => File.ReadLines(note).LastOrDefault() == Number(machine)).Select(note => $"mesh-{Path.GetFileName(note)}")]
        : [];

    /// <summary>What a run has made on this host and forgot, or one that was killed and has no next: no run that lives owns it.</summary>
    private static string[] Orphans()
    {
        var named = ((string[])["/etc/netns", "/run/netns"]).Where(Directory.Exists).SelectMany(folder => Directory.EnumerateFileSystemEntries(folder, "mesh-run-*"))
            .Where(made => !File.Exists($"/run/mesh-run/{Path.GetFileName(made)["mesh-".Length..]}"));
        var groups = ((string[])["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]).Where(Directory.Exists).SelectMany(folder => Directory.EnumerateDirectories(folder, "mesh-run-*")).Where(group => !Directory.Exists($"/proc/{group.Split('-')[^1]}"));
        return [.. named, .. groups];
    }
}
