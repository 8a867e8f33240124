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
    public async Task Without_privileges_or_programs_it_says_what_is_needed()
    {
        await using var network = await StartAsync("nft", "setpriv");
        var (code, _, said) = network.Workload.Try("", "setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", SidecarProgram, "capture", "install");
        Assert.Equal(3, code);
        Assert.Contains("CAP_NET_ADMIN", said, StringComparison.Ordinal);
        Assert.Equal(2, network.Capture("install", "--exclude-outbound-ports", "80000", "--mode", "both").ExitCode);
        Assert.Equal(2, network.Capture("instal").ExitCode);
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
