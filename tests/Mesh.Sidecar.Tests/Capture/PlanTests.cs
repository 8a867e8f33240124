using System.Net;
using System.Net.Sockets;
using Mesh.Sidecar.Capture;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests.Capture;

/// <summary>From arguments to rules, in both languages.</summary>
public class PlanTests
{
    internal static readonly string[] Variety =
    [
        "", "--mode tproxy", "--dns off", "--ipv6 off", "--mode tproxy --ipv6 off --resolvers 10.0.0.2", "--virtual-range none --resolvers ::1", "--only-uids 7,8 --resolvers 1.1.1.1",
        "--cgroup a/b.slice --inbound-ports 80,90-99", "--inbound-ports none --outbound-ports none",
        "--outbound-ports 1,3,5,7,9,11,13,15,17,19,21,23,25,27,29,31-40 --include-outbound-cidrs 10.0.0.0/8,fd00::/8 --include-interfaces e0,e1",
        "--exclude-outbound-ports 22,80-90,91 --exclude-inbound-ports 9 --exclude-outbound-cidrs 10.1.0.0/16,10.0.0.0/8 --exclude-interfaces docker0 --exclude-uids 101 --proxy-uid 5 --proxy-gid 6",
        "--outbound-to 1 --inbound-to 2 --dns-to 3 --own-ports 4-6 --resolvers 10.0.0.2,fd00::53,127.0.0.53",
    ];

    public static TheoryData<string> Options => [.. Variety];

    [Theory]
    [MemberData(nameof(Options))]
    public void Options_are_read_back_as_they_were_written(string arguments)
    {
        var options = Read(arguments);
        Assert.Equal(CaptureFlags.Write(options), CaptureFlags.Write(CaptureFlags.Read(string.Concat(CaptureFlags.Parts(options, 20)))!));
        Assert.All(CaptureFlags.Parts(options, 20), part => Assert.InRange(part.Length, 1, 20));
    }

    [Theory]
    [MemberData(nameof(Options))]
    public void Every_rule_has_a_reason_that_the_kernel_keeps(string arguments)
    {
        foreach (var rule in CapturePlan.From(Read(arguments)).Chains.SelectMany(c => c.Rules))
        {
            Assert.InRange(System.Text.Encoding.UTF8.GetByteCount(rule.Reason), 5, NftScript.MostComment);
            Assert.DoesNotContain('"', rule.Reason);
        }
    }

    [Theory]
    [MemberData(nameof(Options))]
    public void What_the_sidecar_sends_is_never_captured_unless_it_calls_itself(string arguments)
    {
        var options = Read(arguments);
        foreach (var chain in CapturePlan.From(options).Chains.Where(c => c is { Table: CaptureTable.Nat, Hook: CaptureHook.Output }))
        {
            var own = chain.Rules.ToList().FindIndex(r => r is { Verdict: Verdict.Leave, Conditions: [Condition.Uids { Ids: [var id] }] } && id == options.ProxyUid);
            Assert.InRange(own, 0, 4);
            Assert.All(chain.Rules.Take(own).Where(r => r.Verdict == Verdict.Redirect), r => Assert.Contains(r.Conditions, c => c is Condition.From));
        }
    }

    [SkippableTheory]
    [MemberData(nameof(Options))]
    public void Both_programs_take_what_is_written_for_them(string arguments)
    {
        var plan = CapturePlan.From(Read(arguments));
        // They look a cgroup up.
        Skip.If(plan.Options.Cgroup is not null, "there is no such cgroup");
        ExternalProgram.Require("nft");
        ExternalProgram.Require("iptables-restore");
        using var space = NetworkNamespace.Create("plan");
        Assert.Equal((0, ""), (space.Try(NftScript.Replace(plan), "nft", "-f", "-") is var nft ? nft.ExitCode : -1, nft.Error));
        Assert.Equal((0, ""), (space.Try(IptablesScript.Whole(plan, AddressFamily.InterNetwork), "iptables-restore", "--noflush") is var four ? four.ExitCode : -1, four.Error));
        if (!plan.Options.Ipv6) return;
        Assert.Equal((0, ""), (space.Try(IptablesScript.Whole(plan, AddressFamily.InterNetworkV6), "ip6tables-restore", "--noflush") is var six ? six.ExitCode : -1, six.Error));
    }

    [Theory]
    [InlineData("--exclude-outbound-ports 22,80-90,91,85", "tcp dport { 22, 80-91 } return")]
    [InlineData("--exclude-outbound-cidrs 10.1.0.0/16,10.0.0.0/8,fd00::1", "ip daddr 10.0.0.0/8 return")]
    [InlineData("--exclude-outbound-cidrs 10.1.0.0/16,10.0.0.0/8,fd00::1", "ip6 daddr fd00::1 return")]
    [InlineData("--exclude-outbound-cidrs 10.1.2.3/8", "ip daddr 10.0.0.0/8 return")]
    [InlineData("--exclude-uids 101,102", "meta skuid { 101, 102 } return")]
    [InlineData("--uid 1000", "meta l4proto tcp meta skuid 1000 counter redirect to :15001")]
    [InlineData("--cgroup /system.slice/shop.service/", "meta l4proto tcp socket cgroupv2 level 2 \"system.slice/shop.service\" counter redirect to :15001")]
    [InlineData("--resolvers 127.0.0.53", "udp dport 53 ip daddr 127.0.0.53 counter redirect to :15053")]
    [InlineData("--inbound-ports 8080", "tcp dport 8080 counter redirect to :15006")]
    [InlineData("--exclude-interfaces docker0", "oifname \"docker0\" return")]
    [InlineData("--mode tproxy", "meta nfproto ipv6 meta l4proto tcp tproxy ip6 to :15006 counter accept")]
    [InlineData("--mode tproxy --ipv6 off", "meta l4proto tcp tproxy to :15006 counter accept")]
    public void Words_of_nft(string arguments, string line) => Assert.Contains($"\t\t{line} comment \"", NftScript.Table(CapturePlan.From(Read(arguments))), StringComparison.Ordinal);

    [Theory]
    [InlineData("--exclude-outbound-ports 22,80-90", "-A MESH_OUTBOUND -p tcp -m multiport --dports 22,80:90 ", "-j RETURN")]
    [InlineData("--exclude-outbound-cidrs 10.0.0.0/8,fd00::1", "-A MESH_OUTBOUND -d 10.0.0.0/8 ", "-j RETURN")]
    [InlineData("--uid 1000,1001", "-A MESH_OUTBOUND -p tcp -m owner --uid-owner 1001 ", "-j REDIRECT --to-ports 15001")]
    [InlineData("--mode tproxy", "-A MESH_INBOUND_TPROXY -p tcp ", "-j TPROXY --on-port 15006")]
    [InlineData("--mode tproxy", "-A MESH_ANSWERS -p tcp -m conntrack --ctdir REPLY -m connmark --mark 0x539 ", "-j MARK --set-mark 0x539")]
    public void Words_of_iptables(string arguments, string start, string end)
    {
        var lines = IptablesScript.Whole(CapturePlan.From(Read(arguments)), AddressFamily.InterNetwork).Split('\n');
        Assert.Contains(lines, l => l.StartsWith(start, StringComparison.Ordinal) && l.EndsWith(end, StringComparison.Ordinal));
        Assert.DoesNotContain(lines, l => l.Contains("fd00", StringComparison.Ordinal) && !l.Contains("OPTIONS", StringComparison.Ordinal));
    }

    [Fact]
    public void Fifteen_ports_a_line_and_a_line_for_each_choice()
    {
        var lines = IptablesScript.Whole(CapturePlan.From(Read("--outbound-ports 1,3,5,7,9,11,13,15,17,19,21,23,25,27,29-30,32 --include-outbound-cidrs 10.0.0.0/8,11.0.0.0/8")), AddressFamily.InterNetwork)
            .Split('\n').Where(l => l.Contains("multiport", StringComparison.Ordinal) && l.EndsWith("--to-ports 15001", StringComparison.Ordinal)).ToList();
        Assert.Equal(4, lines.Count);
        Assert.Contains(lines, l => l.Contains("--dports 1,3,5,7,9,11,13,15,17,19,21,23,25,27 -d 10", StringComparison.Ordinal));
        Assert.Contains(lines, l => l.Contains("--dports 29:30,32 -d 11", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("--outbound-ports 0", "\"0\" is not a port")]
    [InlineData("--outbound-ports 9-8", "\"9-8\" is not a port")]
    [InlineData("--outbound-ports 70000", "\"70000\" is not a port")]
    [InlineData("--exclude-outbound-cidrs 10.0.0.0/33", "\"10.0.0.0/33\" is not a network")]
    [InlineData("--uid 1337", "the sidecar's own user")]
    [InlineData("--uid 7,8 --exclude-uids 8", "both name 8")]
    [InlineData("--uid root", "\"root\" is not the number of a user")]
    [InlineData("--cgroup ../x", "is not the path of a cgroup")]
    [InlineData("--exclude-interfaces e\"0", "is not the name of an interface")]
    [InlineData("--exclude-interfaces lo", "lo has rules of its own")]
    [InlineData("--inbound-to 15001", "must be different ports")]
    [InlineData("--resolv-conf a\"b", "cannot be kept")]
    [InlineData("--mode both", "not one of redirect, tproxy")]
    [InlineData("--virtual-range 0.0.0.0/0", "every address there is")]
    [InlineData("--nonsense 1", "there is no such option")]
    [InlineData("--mode", "a value is missing")]
    public void Bad_arguments_are_named(string arguments, string complaint) =>
        Assert.Contains(CaptureFlags.Parse(arguments.Split(' ')).Errors, e => e.Contains(complaint, StringComparison.Ordinal));

    [Fact]
    public void Only_the_user_asked_for_and_no_inbound_unless_said()
    {
        var plan = CapturePlan.From(Read("--uid 1000"));
        Assert.Equal("loopback_guard", Assert.Single(plan.Chains, c => c.Hook != CaptureHook.Output).Name);
        // The sidecar's own look whether the rules are there is all else.
        Assert.All(plan.Chains[0].Rules.Where(r => r.Verdict == Verdict.Redirect && r.Value != 15006), r => Assert.Contains(r.Conditions, c => c is Condition.Uids { Ids: [1000] }));
    }

    [Theory]
    [InlineData("nameserver 10.0.0.2\nnameserver fd00::53 # x\n", "10.0.0.2 fd00::53", "")]
    [InlineData("# nameserver 1.1.1.1\nsearch x\n", "127.0.0.1", "names no server")]
    [InlineData("nameserver nonsense\n nameserver\t127.0.0.53\nnameserver 127.0.0.53\n", "127.0.0.53", ":1: \"nameserver nonsense\" names no address")]
    [InlineData("nameserver fe80::1%e0\nnameserver 10.0.0.2", "10.0.0.2", "address of one link only")]
    [InlineData("nameserver 0.0.0.0\nnameserver ::\nnameserver ::ffff:10.0.0.2\nnameserver 127.0.0.1", "127.0.0.1 ::1 10.0.0.2", "")]
    [InlineData("nameserver\nnameserver 10.0.0.2", "10.0.0.2", "names no address")]
    public void Servers_of_resolv_conf(string text, string servers, string complaint)
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder["resolv.conf"], text);
        var (found, complaints) = ResolvConf.Read(folder["resolv.conf"]);
        Assert.Equal(servers.Split(' ').Select(IPAddress.Parse), found);
        Assert.Contains(complaint, string.Join('\n', complaints), StringComparison.Ordinal);
        Assert.Equal(complaint.Length > 0, complaints.Length > 0);
    }

    [Theory]
    [InlineData("tcp dport 80 tproxy to :15006 counter accept comment \"no redirect here\"", "no TPROXY")]
    [InlineData("*mangle\n-A MESH_INBOUND_TPROXY -p tcp -j TPROXY --on-port 15006", "no TPROXY")]
    [InlineData("type nat hook output priority -110; policy accept;", "no NAT")]
    [InlineData("tcp dport 80 counter redirect to :15001 comment \"x\"", "no NAT by redirection")]
    [InlineData("-A MESH_OUTBOUND -p tcp -j REDIRECT --to-ports 15001", "no NAT by redirection")]
    [InlineData("ip daddr 10.0.0.0/8 return comment \"redirect, tproxy, cgroup\"", null)]
    public void What_a_kernel_does_not_have_is_named(string line, string? missing)
    {
        if (missing is null) Assert.Null(KernelParts.Missing(line));
        else Assert.Contains(missing, KernelParts.Missing(line), StringComparison.Ordinal);
    }

    [Fact]
    public void A_missing_resolv_conf_captures_no_dns_and_says_so()
    {
        var (found, complaints) = ResolvConf.Read("/nonexistent/resolv.conf");
        Assert.Empty(found);
        Assert.Contains("DNS is not captured", Assert.Single(complaints), StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_is_no_file_is_no_resolv_conf_and_holds_nobody_up()
    {
        using var folder = new TemporaryFolder();
        await using var made = ChildProcess.Start("mkfifo", [folder["pipe"]]);
        await made.WaitAsync(10);
        using (var large = File.Create(folder["large"])) large.SetLength(2 << 20);
        foreach (var file in (string[])[folder["pipe"], folder.Path, folder["large"]])
        {
            var (found, complaints) = await Task.Run(() => ResolvConf.Read(file)).WaitAsync(TimeSpan.FromSeconds(30));
            Assert.Empty(found);
            Assert.Contains("DNS is not captured", Assert.Single(complaints), StringComparison.Ordinal);
        }

        Assert.Contains("names no server", Assert.Single(ResolvConf.Read("/dev/zero").Complaints), StringComparison.Ordinal);
        var noise = new byte[5000];
        new Random(1).NextBytes(noise);
        File.WriteAllBytes(folder["noise"], noise);
        Assert.Contains("names no server", string.Join('\n', ResolvConf.Read(folder["noise"]).Complaints), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("", "/etc/resolv.conf")]
    [InlineData("--resolvers 10.0.0.2", null)]
    [InlineData("--resolvers 10.0.0.2 --resolv-conf /etc/resolv.conf", "/etc/resolv.conf")]
    [InlineData("--resolv-conf /etc/other --resolvers 10.0.0.2", "/etc/other")]
    public void Where_servers_were_named_is_kept_with_them(string arguments, string? file)
    {
        Assert.Equal(file, Read(arguments).ResolvConf);
        Assert.Equal(file, Read(CaptureFlags.Write(Read(arguments))).ResolvConf);
    }

    private static CaptureOptions Read(string arguments)
    {
        var flags = CaptureFlags.Parse(arguments.Split(' ', StringSplitOptions.RemoveEmptyEntries));
        Assert.Empty(flags.Errors);
        return flags.Options;
    }
}
