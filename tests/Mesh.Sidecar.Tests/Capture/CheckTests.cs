using Mesh.Tests;
using static Mesh.Sidecar.Tests.Capture.CaptureNetwork;

namespace Mesh.Sidecar.Tests.Capture;

/// <summary>What <c>capture check</c> finds, and what it does not miss.</summary>
public class CheckTests
{
    private static readonly string[] Resolvers = ["--resolvers", $"{There},{There6}"];

    [SkippableTheory]
    [InlineData("nft", "redirect", true)]
    [InlineData("nft", "tproxy", true)]
    [LongInlineData("iptables", "redirect", true)]
    [InlineData("iptables", "tproxy", true)]
    [InlineData("nft", "redirect", false)]
    [LongInlineData("iptables", "tproxy", false)]
    public async Task All_works_with_the_sidecar_and_before_it_is_there(string backend, string mode, bool sidecar)
    {
        await using var network = await StartAsync(backend);
        if (sidecar) await network.StartSidecarAsync(mode == "tproxy" ? "/tproxy" : "");
        network.Succeed(["install", "--backend", backend, "--mode", mode, .. Resolvers]);
        var said = network.Succeed("check");
        foreach (var works in (string[])["rules are as installed", "outbound IPv4", "outbound IPv6", $"DNS: a query to {There}", $"DNS: a query to {There6}", "inbound IPv4", "inbound IPv6"])
        {
            Assert.Contains($"works  {works}", said, StringComparison.Ordinal);
        }

        Assert.Equal(!sidecar, said.Contains("nothing listens", StringComparison.Ordinal));
        Assert.Contains("UDP other than DNS", said, StringComparison.Ordinal);
        // It leaves nothing: the cable is gone.
        Assert.DoesNotContain("mc", network.Workload.Ip("-br link"), StringComparison.Ordinal);
    }

    [SkippableTheory]
    [InlineData("nft", "nft flush ruleset", "no rules are installed")]
    [InlineData("nft", "nft flush chain inet mesh inbound", "inbound IPv4: a connection from elsewhere to port 47000 does not get to the sidecar: refused")]
    [InlineData("nft", "nft insert rule inet mesh outbound accept", "rules were changed by somebody (nft): not ours: accept")]
    [InlineData("nft", "nft insert rule inet mesh outbound accept", "outbound IPv6: a connection to [fd6d:6573:6800:ffff:ffff:ffff:ffff:fffe]:80 does not get to the sidecar: refused")]
    [InlineData("nft", "ip route del 240.0.0.0/4", "the route for virtual addresses 240.0.0.0/4 is missing")]
    [InlineData("nft", "ip -6 route del fd6d:6573:6800::/48", "outbound IPv6: a connection to [fd6d:6573:6800:ffff:ffff:ffff:ffff:fffe]:80 does not get to the sidecar: there is no route")]
    [LongInlineData("iptables", "iptables -t nat -F", "rules were changed by somebody (iptables): missing: ip nat")]
    [InlineData("iptables", "iptables -t nat -D OUTPUT -j MESH_OUTBOUND", "outbound IPv4: a connection to 255.255.255.254:80 does not get to the sidecar: refused")]
    [LongInlineData("iptables", "ip6tables -t nat -F MESH_INBOUND", "inbound IPv6: a connection from elsewhere to port 47000 does not get to the sidecar: refused")]
    [InlineData("nft", "nft flush chain inet mesh loopback_guard", "rules were changed by somebody (nft): missing: iifname != \"lo\" ip daddr 127.0.0.0/8")]
    [InlineData("iptables", "iptables -t mangle -D PREROUTING -j MESH_LOOPBACK_GUARD", "rules were changed by somebody (iptables): missing: ip mangle PREROUTING: -A PREROUTING -j MESH_LOOPBACK_GUARD")]
    [InlineData("nft", "ip addr add 10.200.0.1/24 dev e0", null)]
    public async Task What_somebody_changed_is_said(string backend, string change, string? finding)
    {
        await using var network = await StartAsync(backend, "nft");
        network.Succeed(["install", "--backend", backend, .. Resolvers]);
        var words = change.Split(' ');
        network.Workload.Must(words[0], words[1..]);
        var (code, said) = network.Capture("check");
        Assert.Equal(finding is null ? 0 : 1, code);
        Assert.Contains(finding is null ? "works  outbound IPv4" : $"BROKEN {finding}", said, StringComparison.Ordinal);
        // And install sets it right.
        network.Succeed(["install", "--backend", backend, .. Resolvers]);
        network.Succeed("check");
    }

    [SkippableFact]
    public async Task Another_nat_rule_that_comes_first_is_found()
    {
        await using var network = await StartAsync("nft");
        await network.StartSidecarAsync();
        network.Succeed(["install", .. Resolvers]);
        Assert.Equal(0, network.Workload.Try("table ip early {\n chain out {\n type nat hook output priority -150; policy accept;\n tcp dport 80 redirect to :8080\n }\n}\n", "nft", "-f", "-").ExitCode);
        var (code, said) = network.Capture("check");
        Assert.Equal(1, code);
        Assert.Contains("BROKEN outbound IPv4: a connection to 255.255.255.254:80 arrives at port 8080 instead of 127.0.0.1:15001", said, StringComparison.Ordinal);
        Assert.Contains("works  outbound IPv6", said, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task One_users_traffic_is_tried_as_that_user()
    {
        await using var network = await StartAsync("nft");
        network.Succeed(["install", "--uid", "1000", "--inbound-ports", "8080", .. Resolvers]);
        var said = network.Succeed("check");
        Assert.Contains("works  outbound IPv4", said, StringComparison.Ordinal);
        Assert.Contains("works  inbound IPv4: a connection from elsewhere to port 8080", said, StringComparison.Ordinal);
    }

    [SkippableTheory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task What_others_send_to_another_machine_is_no_success(bool sidecar)
    {
        await using var network = await StartAsync("nft");
        if (sidecar) await network.StartSidecarAsync();
        network.Succeed(["install", .. Resolvers]);
        network.Workload.Nft($"""
            table ip early {"{"}
              chain out {"{"} type nat hook output priority -150; ip daddr 240.0.0.0/4 tcp dport 80 dnat to {There}:80; udp dport 53 dnat to {There}:5353; {"}"}
              chain in {"{"} type nat hook prerouting priority -150; tcp dport 47000 dnat to {There}:80; {"}"}
              chain post {"{"} type nat hook postrouting priority 100; ip daddr {There} masquerade; {"}"}
            {"}"}
            """);
        network.Workload.Must("sysctl", "-qw", "net.ipv4.ip_forward=1");
        await network.ServeAsync(network.Peer, "peer=0.0.0.0:5353/udp");
        var (code, said) = network.Capture("check");
        Assert.Equal(1, code);
        Assert.Contains("BROKEN outbound IPv4: a connection to 255.255.255.254:80 is answered, and nothing here took it", said, StringComparison.Ordinal);
        Assert.Contains("BROKEN inbound IPv4: a connection from elsewhere to port 47000 is answered, and nothing here took it", said, StringComparison.Ordinal);
        Assert.Contains($"BROKEN DNS: a query to {There} does not get to the sidecar's 127.0.0.1:15053: a program elsewhere answers", said, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Addresses_that_others_rewrite_are_no_failure()
    {
        await using var network = await StartAsync("nft");
        await network.StartSidecarAsync();
        network.Succeed(["install", .. Resolvers]);
        network.Workload.Nft("table inet theirs { chain post { type nat hook postrouting priority 100; masquerade; }; }");
        network.Succeed("check");
    }

    [SkippableTheory]
    [InlineData("0", "0")]
    [InlineData("0,65534,1", "0")]
    [InlineData("0", "1337")]
    public async Task Whoever_asks_it_is_tried_as_somebody_who_is_captured(string excluded, string as_)
    {
        await using var network = await StartAsync("nft", "setpriv");
        network.Succeed(["install", "--exclude-uids", excluded, .. Resolvers]);
        const string Capabilities = "+net_admin,+net_raw,+sys_admin,+setuid,+setgid";
        var (code, said, _) = network.Workload.Try("", "setpriv", "--reuid", as_, "--regid", as_, "--clear-groups", $"--inh-caps={Capabilities}", $"--ambient-caps={Capabilities}", SidecarProgram, "capture", "check");
        Assert.True(code == 0, said);
        Assert.Contains("works  outbound IPv4", said, StringComparison.Ordinal);
        Assert.Contains($"works  DNS: a query to {There}", said, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task What_may_not_be_seen_is_not_called_proved()
    {
        await using var network = await StartAsync("nft", "setpriv");
        network.Succeed(["install", .. Resolvers]);
        var (code, said, _) = network.Workload.Try("", "setpriv", "--bounding-set=-net_raw,-sys_admin", "--inh-caps=-net_raw,-sys_admin", SidecarProgram, "capture", "check");
        Assert.True(code == 0, said);
        Assert.Contains("note   outbound IPv4: a connection to 255.255.255.254:80 is not proved", said, StringComparison.Ordinal);
        Assert.Contains($"note   DNS: a query to {There} is not proved", said, StringComparison.Ordinal);
        Assert.Contains("note   inbound is not proved by a connection", said, StringComparison.Ordinal);
        await network.StartSidecarAsync();
        (_, said, _) = network.Workload.Try("", "setpriv", "--bounding-set=-net_raw,-sys_admin", "--inh-caps=-net_raw,-sys_admin", SidecarProgram, "capture", "check");
        Assert.Contains("works  outbound IPv4", said, StringComparison.Ordinal);
        Assert.Contains($"works  DNS: a query to {There}", said, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task A_server_that_resolv_conf_names_by_now_is_missed()
    {
        await using var network = await StartAsync("nft");
        network.Workload.WriteResolvConf($"nameserver {There}\n");
        network.Succeed("install");
        network.Succeed("check");
        network.Workload.WriteResolvConf($"nameserver 10.1.2.3\nnameserver {There}\n");
        var (code, said) = network.Capture("check");
        Assert.Equal(1, code);
        Assert.Contains("BROKEN /etc/resolv.conf names 10.1.2.3 by now", said, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Show_says_whether_it_is_installed()
    {
        await using var network = await StartAsync("nft");
        Assert.StartsWith("not installed; what install would set:\noptions:", network.Succeed(["show", .. Resolvers]), StringComparison.Ordinal);
        network.Succeed(["install", "--exclude-outbound-ports", "22", .. Resolvers]);
        var said = network.Succeed("show");
        Assert.StartsWith("installed (nft):\noptions: --exclude-outbound-ports=22", said, StringComparison.Ordinal);
        var rules = said.Split('\n').Count(l => l.StartsWith("  ", StringComparison.Ordinal) && !l.Contains("because: ", StringComparison.Ordinal));
        Assert.Equal(rules, said.Split('\n').Count(l => l.Contains("because: ", StringComparison.Ordinal)));
        Assert.StartsWith("what these options would set, in place of what is installed (nft):", network.Succeed(["show", "--dns", "off"]), StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Rules_of_the_other_program_beside_ours_are_found()
    {
        await using var network = await StartAsync("nft", "iptables");
        network.Succeed(["install", .. Resolvers]);
        // As an installation leaves them that was killed after it had set its rules, and before it removed these.
        Assert.Equal(0, network.Workload.Try(network.Succeed("show", "--format", "iptables").Split("# ip6tables")[0], "iptables-restore", "--noflush").ExitCode);
        var (code, said) = network.Capture("check");
        Assert.Equal(1, code);
        Assert.Contains("BROKEN rules of iptables are there, too", said, StringComparison.Ordinal);
        network.Succeed(["install", .. Resolvers]);
        network.Succeed("check");
    }

    [SkippableFact]
    public async Task A_sidecar_of_another_user_is_said()
    {
        await using var network = await StartAsync("nft");
        network.Succeed(["install", .. Resolvers]);
        Assert.DoesNotContain("is of user", network.Succeed("check"), StringComparison.Ordinal);
        await network.StartSidecarAsync();
        Assert.Contains("note   what listens on 15001 is of user 0, and the rules leave user 1337 alone", network.Succeed("check"), StringComparison.Ordinal);
        network.Succeed(["install", "--proxy-uid", "0", .. Resolvers]);
        Assert.DoesNotContain("is of user", network.Succeed("check"), StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Every_server_is_asked()
    {
        await using var network = await StartAsync("nft");
        network.Succeed("install", "--resolvers", $"{There},127.0.0.53");
        network.Workload.Must("nft", "insert", "rule", "inet", "mesh", "outbound", "ip", "daddr", "127.0.0.53", "accept");
        Assert.Contains("BROKEN DNS: a query to 127.0.0.53 arrives at port 53 instead of 127.0.0.1:15053", network.Capture("check").Said, StringComparison.Ordinal);
    }

    [SkippableTheory]
    [InlineData("redirect")]
    [InlineData("tproxy")]
    public async Task It_never_takes_a_connection_of_anybody(string mode)
    {
        await using var network = await StartAsync("nft");
        network.Succeed(["install", "--mode", mode, .. Resolvers]);
        await using var application = Calling(network.Workload, "240.0.0.9");
        await using var client = Calling(network.Peer, Here);
        foreach (var caller in (ChildProcess[])[application, client]) Assert.Equal("ready", await caller.NextLineAsync());
        network.Succeed("check");
        foreach (var caller in (ChildProcess[])[application, client])
        {
            await caller.TellAsync("enough");
            Assert.Equal("[111]", await caller.NextLineAsync());
        }

        static ChildProcess Calling(NetworkNamespace from, string address) => from.Start("/usr/bin/python3", "-c", $"""
            import select, socket, sys
            print("ready", flush=True)
            results = set()
            while not select.select([sys.stdin], [], [], 0.001)[0]:
                with socket.socket() as s: results.add(s.connect_ex(("{address}", 8085)))
            print(sorted(results), flush=True)
            """);
    }
}
