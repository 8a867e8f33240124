using Mesh.Tests;
using static Mesh.Sidecar.Tests.Capture.CaptureNetwork;

namespace Mesh.Sidecar.Tests.Capture;

/// <summary>Rules come, change and go as a whole, and those of others stay as they are.</summary>
public class LifecycleTests
{
    private const string ForeignNft =
        "table inet firewall {\n chain input {\n type filter hook input priority filter; policy accept;\n tcp dport 9999 drop comment \"theirs\"\n }\n}\n"
        + "table ip other {\n chain out {\n type nat hook output priority -90; policy accept;\n tcp dport 7777 redirect to :7778\n }\n}\n";

    private const string ForeignIptables =
        "*filter\n:INPUT ACCEPT\n:OUTPUT ACCEPT\n:THEIRS -\n-A INPUT -p tcp --dport 9999 -j THEIRS\n-A THEIRS -j DROP\nCOMMIT\n"
        + "*nat\n:PREROUTING ACCEPT\n:OUTPUT ACCEPT\n-A OUTPUT -p tcp --dport 7777 -j REDIRECT --to-ports 7778\nCOMMIT\n"
        + "*mangle\n:PREROUTING ACCEPT\n:OUTPUT ACCEPT\n-A OUTPUT -j MARK --set-mark 7\nCOMMIT\n";

    [SkippableTheory]
    [InlineData("nft")]
    [InlineData("iptables")]
    public async Task The_second_time_changes_nothing_and_removal_leaves_nothing(string backend)
    {
        await using var network = await StartAsync(backend, "nft", "iptables");
        Foreign(network);
        var before = Everything(network);
        Assert.Contains("nothing to remove", network.Succeed("remove"), StringComparison.Ordinal);
        Assert.Equal(before, Everything(network));

        Assert.Contains($"capture installed ({backend})", network.Succeed("install", "--backend", backend), StringComparison.Ordinal);
        var installed = Everything(network);
        Assert.NotEqual(before, installed);
        Assert.Contains("nothing changed", network.Succeed("install", "--backend", backend), StringComparison.Ordinal);
        Assert.Equal(installed, Everything(network));

        network.Succeed("install", "--backend", backend, "--mode", "tproxy", "--exclude-outbound-ports", "22");
        Assert.NotEqual(installed, Everything(network));
        network.Succeed("install", "--backend", backend);
        Assert.Equal(installed, Everything(network));
        network.Succeed("install", "--backend", backend, "--ipv6", "off");
        network.Succeed("install", "--backend", backend, "--mode", "tproxy");

        network.Succeed("remove");
        Assert.Equal(before, Everything(network));
    }

    [SkippableTheory]
    [InlineData("nft")]
    [LongInlineData("iptables")]
    public async Task Whatever_the_options_are_they_are_recognized(string backend)
    {
        await using var network = await StartAsync(backend);
        // They look a cgroup up, which is not there.
        foreach (var options in PlanTests.Variety.Where(v => !v.Contains("cgroup", StringComparison.Ordinal)))
        {
            string[] install = ["install", "--backend", backend, "--resolv-conf", "/etc/hosts", .. options.Split(' ', StringSplitOptions.RemoveEmptyEntries)];
            Assert.Contains("capture installed", network.Succeed(install), StringComparison.Ordinal);
            Assert.Contains("nothing changed", network.Succeed(install), StringComparison.Ordinal);
            Assert.Contains($"works  rules are as installed ({backend})", network.Capture("check").Said, StringComparison.Ordinal);
        }
    }

    [SkippableFact]
    public async Task One_program_takes_over_from_the_other()
    {
        await using var network = await StartAsync("nft", "iptables");
        Foreign(network);
        var before = Everything(network);
        network.Succeed("install", "--backend", "iptables");
        Assert.Contains("rules of iptables removed", network.Succeed("install"), StringComparison.Ordinal);
        Assert.DoesNotContain("MESH_", network.Workload.Must("iptables-save"), StringComparison.Ordinal);
        network.Succeed("install", "--backend", "iptables");
        network.Succeed("remove");
        Assert.Equal(before, Everything(network));
    }

    [SkippableFact]
    public async Task Legacy_iptables_are_seen_and_removed()
    {
        await using var network = await StartAsync("nft", "iptables-legacy");
        var foreign = network.Workload.Try("*nat\n-A OUTPUT -p tcp --dport 7777 -j REDIRECT --to-ports 7778\nCOMMIT\n", "iptables-legacy-restore");
        Skip.If(foreign.ExitCode != 0, $"no legacy iptables in this kernel: {foreign.Error.Trim()}");
        var before = network.Workload.Must("iptables-legacy-save", "-t", "nat").Split('\n').Where(l => !l.StartsWith('#') && !l.StartsWith(':')).ToList();
        Assert.Equal(0, network.Workload.Try(network.Succeed("show", "--format", "iptables").Split("# ip6tables")[0], "iptables-legacy-restore", "--noflush").ExitCode);
        network.Succeed("remove");
        Assert.Equal(before, network.Workload.Must("iptables-legacy-save", "-t", "nat").Split('\n').Where(l => !l.StartsWith('#') && !l.StartsWith(':')).ToList());
    }

    [SkippableTheory]
    [InlineData("nft", false)]
    [InlineData("iptables", true)]
    public async Task Both_kinds_of_iptables_may_be_there(string backend, bool isDoubtful)
    {
        await using var network = await StartAsync(backend, "nft", "iptables-legacy");
        await network.StartSidecarAsync();
        var foreign = network.Workload.Try("*nat\n-A OUTPUT -p tcp --dport 81 -j REDIRECT --to-ports 8080\nCOMMIT\n", "iptables-legacy-restore");
        Skip.If(foreign.ExitCode != 0, $"no legacy iptables in this kernel: {foreign.Error.Trim()}");
        network.Succeed("install", "--backend", backend, "--resolvers", There);
        Assert.StartsWith("out", network.Dial(There, 80), StringComparison.Ordinal);
        if (!isDoubtful) Assert.StartsWith("out", network.Dial(There, 81), StringComparison.Ordinal);
        Assert.Equal(isDoubtful, network.Succeed("check").Contains("iptables-legacy, \"-A OUTPUT -p tcp -m tcp --dport 81 -j REDIRECT --to-ports 8080\"", StringComparison.Ordinal));
        network.Succeed("remove");
        Assert.StartsWith("app", network.Dial(There, 81), StringComparison.Ordinal);
        Assert.Contains("--dport 81", network.Workload.Must("iptables-legacy-save", "-t", "nat"), StringComparison.Ordinal);
    }

    [SkippableTheory]
    [InlineData("nft")]
    [InlineData("iptables")]
    public async Task What_cannot_be_set_leaves_everything_as_it_was(string backend)
    {
        await using var network = await StartAsync(backend);
        var before = Everything(network);
        // Nothing takes a cgroup that is not there.
        var (code, said) = network.Capture("install", "--backend", backend, "--cgroup", "no/such/cgroup", "--mode", "tproxy", "--inbound-ports", "80");
        Assert.Equal(3, code);
        Assert.Contains("cgroup", said, StringComparison.Ordinal);
        Assert.Equal(before, Everything(network), ignoreLineEndingDifferences: true);
        network.Succeed("install", "--backend", backend);
        var installed = Everything(network);
        Assert.Equal(3, network.Capture("install", "--backend", backend, "--cgroup", "no/such/cgroup", "--virtual-range", "none").ExitCode);
        Assert.Equal(installed, Everything(network));
    }

    [SkippableFact]
    public async Task Without_nft_it_is_iptables_and_without_both_it_says_so()
    {
        await using var network = await StartAsync("nft", "iptables", "unshare");
        string[] nft = ["nft"], iptables = [.. ((string[])["", "-nft", "-legacy"]).SelectMany(v => (string[])[$"iptables{v}-save", $"iptables{v}-restore"])];
        Assert.Contains("capture installed (iptables)", Without(nft, "install", "--resolvers", There).Said, StringComparison.Ordinal);
        Assert.Equal(0, Without(nft, "check").ExitCode);
        Assert.Contains("capture removed (iptables)", Without(nft, "remove").Said, StringComparison.Ordinal);
        var (code, said) = Without([.. nft, .. iptables], "install");
        Assert.Equal(3, code);
        Assert.Contains("nft is not installed, and iptables is not installed: one of nftables and iptables is needed", said, StringComparison.Ordinal);
        (code, said) = Without(["ip"], "install");
        Assert.Equal(3, code);
        Assert.Contains("ip is not installed", said, StringComparison.Ordinal);
        Assert.DoesNotContain("133", network.Workload.Ip("route show table all"), StringComparison.Ordinal);

        // Nothing that can be run is to be found under these names.
        (int ExitCode, string Said) Without(string[] programs, params string[] command)
        {
            var hide = string.Join("; ", programs.Select(p => $"for f in /usr/sbin/{p} /sbin/{p} /usr/bin/{p} /bin/{p}; do [ -e $f ] && mount --bind /dev/null $(readlink -f $f); done"));
            var (code, output, error) = network.Workload.Try("", "unshare", ["-m", "sh", "-c", $"{hide}; exec {SidecarProgram} capture \"$@\"", "capture", .. command]);
            return (code, output + error);
        }
    }

    [SkippableFact]
    public async Task Without_ip6tables_IPv6_is_not_left_out_silently()
    {
        await using var network = await StartAsync("iptables", "unshare");
        const string Link = "/etc/alternatives/ip6tables-restore";
        Skip.IfNot(File.Exists(Link), "the system's iptables are no alternatives of each other");
        string Without(string options) => $"mount -t tmpfs none /mnt; cp -a /etc/alternatives/. /mnt; rm /mnt/ip6tables-restore; mount --bind /mnt /etc/alternatives; exec {SidecarProgram} capture install --backend iptables --resolvers {There} {options}";
        var (code, _, said) = network.Workload.Try("", "unshare", "-m", "sh", "-c", Without(""));
        Assert.Equal(3, code);
        Assert.Contains("ip6tables-restore is not installed, and this machine has IPv6: --ipv6 off", said, StringComparison.Ordinal);
        Assert.DoesNotContain("MESH_", network.Workload.Must("iptables-save"), StringComparison.Ordinal);
        network.Workload.Must("unshare", "-m", "sh", "-c", Without("--ipv6 off"));
    }

    [SkippableTheory]
    [InlineData("nft", "tproxy ip.* to :", "/dev/stdin:$line:3-10: Error: Could not process rule: No such file or directory", "this kernel has no TPROXY: --mode redirect does without")]
    [InlineData("nft", "redirect to", "/dev/stdin:$line:3-10: Error: Could not process rule: No such file or directory", "this kernel has no NAT by redirection")]
    [InlineData("iptables-restore", "-j TPROXY", "iptables-restore: line $line failed", "this kernel has no TPROXY: --mode redirect does without")]
    public async Task A_kernel_that_lacks_something_is_said_and_left_as_it_was(string program, string word, string error, string complaint)
    {
        await using var network = await StartAsync("nft", "iptables");
        using var folder = new TemporaryFolder();
        var real = network.Workload.Must("sh", "-c", $"command -v {program} || command -v /usr/sbin/{program}").Trim();
        // Refuses what such a kernel refuses, in its words; all else is done.
        File.WriteAllText(folder[program], $$"""
            #!/bin/sh
            case "$*" in *list*|*--version*) exec {{real}} "$@" ;; esac
            cat >"{{folder["rules"]}}"
            line=$(grep -n -e '{{word}}' "{{folder["rules"]}}" | head -1 | cut -d: -f1)
            [ -n "$line" ] && { echo "{{error}}" >&2; exit 1; }
            exec {{real}} "$@" <"{{folder["rules"]}}"
            """);
        File.SetUnixFileMode(folder[program], UnixFileMode.UserRead | UnixFileMode.UserExecute);
        var before = Everything(network);
        var backend = program == "nft" ? "nft" : "iptables";
        var (code, _, said) = network.Workload.Try("", "env", $"PATH={folder.Path}:{Environment.GetEnvironmentVariable("PATH")}", SidecarProgram, "capture", "install", "--backend", backend, "--mode", "tproxy", "--resolvers", There);
        Assert.Equal(3, code);
        Assert.Contains(complaint, said, StringComparison.Ordinal);
        Assert.Equal(before, Everything(network));
    }

    [SkippableFact]
    public async Task Without_privileges_or_programs_it_says_what_is_needed()
    {
        await using var network = await StartAsync("nft", "setpriv");
        var (code, _, said) = network.Workload.Try("", "setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", SidecarProgram, "capture", "install");
        Assert.Equal(3, code);
        Assert.Contains("CAP_NET_ADMIN", said, StringComparison.Ordinal);
        Assert.Equal(2, network.Capture("install", "--exclude-outbound-ports", "80000", "--mode", "both").ExitCode);
        Assert.Equal(2, network.Capture("instal").ExitCode);
    }

    [SkippableFact]
    public async Task Several_at_once_are_one_after_the_other()
    {
        await using var network = await StartAsync("nft", "iptables");
        string[][] wanted = [["--backend", "iptables"], ["--mode", "tproxy"], ["--backend", "nft"], ["--exclude-outbound-ports", "22"]];
        for (var round = 0; round < 3; round++)
        {
            var all = await Task.WhenAll(wanted.Select(w => Task.Run(() => network.Capture(["install", "--resolvers", There, .. w]))));
            Assert.All(all, one => Assert.True(one.ExitCode == 0, one.Said));
            var checks = await Task.WhenAll(Task.Run(() => network.Capture("check")), Task.Run(() => network.Capture("check")));
            Assert.All(checks, one => Assert.True(one.ExitCode == 0, one.Said));
            network.Succeed("remove");
        }
    }

    [SkippableTheory]
    [InlineData("nft")]
    [LongInlineData("iptables")]
    public async Task One_that_was_killed_leaves_nothing_that_the_next_does_not_clear(string backend)
    {
        await using var network = await StartAsync(backend, "nft", "iptables");
        Foreign(network);
        network.Workload.Nft("table inet theirs {}");
        var before = Everything(network);
        // Half an answer's route, a twin, and routes without rules.
        network.Workload.Ip("route add local default dev lo table 133 proto 133");
        network.Workload.Ip("route add 240.0.0.0/4 dev lo proto 133 metric 1337");
        network.Workload.Nft("table inet mesh_twin { flags dormant; chain options { return comment \"options \"; }; }");
        Assert.Equal(0, network.Workload.Try("*nat\n:MESHTWIN_OUTBOUND -\n-A MESHTWIN_OUTBOUND -j RETURN\nCOMMIT\n", "iptables-restore", "--noflush").ExitCode);
        network.Succeed("install", "--backend", backend, "--resolvers", There, "--mode", "tproxy");
        network.Succeed("check");
        network.Succeed("remove");
        Assert.Equal(before, Everything(network));
    }

    [SkippableFact]
    public async Task Killed_at_any_moment_it_can_be_done_again_and_removed()
    {
        await using var network = await StartAsync("nft", "iptables", "timeout");
        Foreign(network);
        var before = Everything(network);
        string[][] commands = [["install", "--mode", "tproxy"], ["install", "--backend", "iptables"], ["install", "--exclude-outbound-ports", "22"], ["check"], ["remove"]];
        for (var i = 0; i < 30; i++)
        {
            network.Workload.Try("", "timeout", ["-s", "KILL", $"0.{5 + 3 * i % 60:00}", SidecarProgram, "capture", .. commands[i % commands.Length]]);
        }

        network.Succeed("install", "--resolvers", There);
        network.Succeed("check");
        network.Succeed("remove");
        Assert.Equal(before, Everything(network));
        Assert.DoesNotContain("mc", network.Workload.Ip("-br link"), StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task What_others_call_like_ours_is_theirs()
    {
        await using var network = await StartAsync("nft", "iptables");
        Assert.Equal(0, network.Workload.Try("*filter\n:MESH_WIFI -\n-A INPUT -p tcp --dport 9999 -j MESH_WIFI\n-A MESH_WIFI -j DROP\nCOMMIT\n", "iptables-restore", "--noflush").ExitCode);
        network.Workload.Nft("table inet mesh { chain wifi { type filter hook input priority 0; tcp dport 9999 drop; }; }");
        network.Workload.Ip("route add 10.77.0.0/16 dev e0 proto 133");
        var before = Everything(network);
        Assert.Contains("nothing to remove", network.Succeed("remove"), StringComparison.Ordinal);
        var (code, said) = network.Capture("install");
        Assert.Equal(3, code);
        Assert.Contains("table inet mesh that is not ours", said, StringComparison.Ordinal);
        Assert.Equal(before, Everything(network));
        network.Succeed("install", "--backend", "iptables", "--resolvers", There);
        network.Succeed("check");
        network.Succeed("remove");
        Assert.Equal([.. before.Split('\n').Where(l => l.Contains("9999", StringComparison.Ordinal))], Everything(network).Split('\n').Where(l => l.Contains("9999", StringComparison.Ordinal)));
        Assert.Contains("10.77.0.0/16", Everything(network), StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task A_program_that_cannot_take_over_leaves_the_other_working()
    {
        await using var network = await StartAsync("nft", "iptables");
        network.Succeed("install", "--backend", "iptables", "--resolvers", There);
        Assert.Equal(3, network.Capture("install", "--backend", "nft", "--cgroup", "no/such", "--mode", "tproxy", "--inbound-ports", "80").ExitCode);
        network.Succeed("check");
    }

    [SkippableFact]
    public async Task IPv6_that_was_switched_off_later_is_removed_all_the_same()
    {
        await using var network = await StartAsync("iptables", "sysctl");
        network.Succeed("install", "--backend", "iptables", "--mode", "tproxy");
        network.Workload.Must("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1");
        network.Succeed("remove");
        network.Workload.Must("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=0");
        Assert.DoesNotContain("MESH_", network.Workload.Must("ip6tables-save"), StringComparison.Ordinal);
        Assert.DoesNotContain("133", network.Workload.Ip("-6 rule"), StringComparison.Ordinal);
    }

    [SkippableTheory]
    [InlineData("nft")]
    [LongInlineData("iptables")]
    public async Task IPv6_that_is_switched_on_later_is_no_way_past_the_sidecar(string backend)
    {
        await using var network = await StartAsync(backend, "sysctl");
        string[] install = ["install", "--backend", backend, "--mode", "tproxy", "--resolvers", There];
        network.Workload.Must("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1");
        Assert.Contains("IPv6 is switched off here", network.Succeed(install), StringComparison.Ordinal);
        Assert.Contains("nothing changed", network.Succeed(install), StringComparison.Ordinal);
        Assert.DoesNotContain("IPv6:", network.Succeed("check"), StringComparison.Ordinal);
        network.Workload.Must("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=0");
        network.Workload.Ip($"addr add {Here6}/64 dev e0 nodad");
        Assert.Equal("ECONNREFUSED", network.Dial(There6, 80, "wait=2"));
        Assert.Contains("BROKEN the route for virtual addresses fd6d:6573:6800::/48 is missing", network.Capture("check").Said, StringComparison.Ordinal);
        network.Succeed(install);
        network.Succeed("check");
        network.Succeed("remove");
    }

    [SkippableFact]
    public async Task IPv6_of_one_interface_is_IPv6()
    {
        await using var network = await StartAsync("nft", "sysctl");
        await network.StartSidecarAsync();
        network.Workload.Must("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.e0.disable_ipv6=0");
        network.Workload.Ip($"addr add {Here6}/64 dev e0 nodad");
        var (code, said) = network.Capture("install", "--resolvers", There);
        Assert.Equal(3, code);
        Assert.Contains("net.ipv6.conf.lo.disable_ipv6=0", said, StringComparison.Ordinal);
        Assert.DoesNotContain("240.0.0.0/4", network.Workload.Ip("route"), StringComparison.Ordinal);
        network.Workload.Must("sysctl", "-qw", "net.ipv6.conf.lo.disable_ipv6=0");
        network.Succeed("install", "--resolvers", There);
        Assert.StartsWith("out", network.Dial(There6, 80, "wait=2"), StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Without_an_IPv4_address_virtual_ones_are_reached_all_the_same()
    {
        await using var network = await StartAsync("nft");
        await network.StartSidecarAsync();
        network.Workload.Ip($"addr del {Here}/24 dev e0");
        network.Succeed("install", "--resolvers", There6);
        Assert.StartsWith("out 240.0.0.9:80", network.Dial("240.0.0.9", 80, "wait=2"), StringComparison.Ordinal);
        Assert.StartsWith($"out [{There6}]:80", network.Dial(There6, 80), StringComparison.Ordinal);
        network.Succeed("check");
    }

    [SkippableFact]
    public async Task What_others_put_before_ours_is_said_and_install_comes_first_again()
    {
        await using var network = await StartAsync("nft", "iptables");
        await network.StartSidecarAsync();
        network.Succeed("install", "--backend", "iptables", "--resolvers", $"{There},{There6}");
        // As kube-proxy does.
        Assert.Equal(0, network.Workload.Try($"*nat\n:KUBE-SERVICES -\n-A KUBE-SERVICES -d 10.96.0.1 -p tcp -j DNAT --to {There}:80\n-I OUTPUT -j KUBE-SERVICES\nCOMMIT\n", "iptables-restore", "--noflush").ExitCode);
        network.Workload.Ip($"route add default via {There}");
        Assert.StartsWith("peer", network.Dial("10.96.0.1", 443), StringComparison.Ordinal);
        var (code, said) = network.Capture("check");
        Assert.Equal(1, code);
        Assert.Contains("not ours: ip nat OUTPUT: -A OUTPUT -j MESH_OUTBOUND, behind rules of others", said, StringComparison.Ordinal);
        network.Succeed("install", "--backend", "iptables", "--resolvers", $"{There},{There6}");
        Assert.StartsWith("out 10.96.0.1:443", network.Dial("10.96.0.1", 443), StringComparison.Ordinal);
        network.Succeed("check");
        network.Workload.Nft("table ip early { chain out { type nat hook output priority -150; }; }");
        Assert.Contains("note   others' NAT comes before capture, and what it redirects passes the sidecar by: table ip early, chain out (nat output, priority -150)", network.Succeed("check"), StringComparison.Ordinal);
    }

    private static void Foreign(CaptureNetwork network)
    {
        Assert.Equal(0, network.Workload.Try(ForeignNft, "nft", "-f", "-").ExitCode);
        Assert.Equal(0, network.Workload.Try(ForeignIptables, "iptables-restore").ExitCode);
        Assert.Equal(0, network.Workload.Try(ForeignIptables, "ip6tables-restore").ExitCode);
        network.Workload.Ip("rule add fwmark 0x539 lookup 200");
        network.Workload.Ip("route add 10.77.0.0/16 dev lo");
    }

    /// <summary>All rules and routes of the workload's machine, without counters, and without what the kernel adds to interfaces in its own time.</summary>
    private static string Everything(CaptureNetwork network) => string.Join('\n', (string[])
    [
        network.Workload.Must("nft", "-s", "list", "ruleset"),
        .. ((string[])["rule", "-6 rule", "route show table all", "-6 route show table all"])
            .SelectMany(what => network.Workload.Ip(what).Split('\n').Where(l => !l.Contains("kernel", StringComparison.Ordinal) && !l.Contains("ff00", StringComparison.Ordinal)).Order(StringComparer.Ordinal)),
    ]);
}
