using static Mesh.Sidecar.Tests.Capture.CaptureNetwork;

namespace Mesh.Sidecar.Tests.Capture;

/// <summary>What <c>capture check</c> finds, and what it does not miss.</summary>
public class CheckTests
{
    private static readonly string[] Resolvers = ["--resolvers", $"{There},{There6}"];

    [SkippableTheory]
    [InlineData("nft", "redirect", true)]
    [InlineData("nft", "tproxy", true)]
    [InlineData("iptables", "redirect", true)]
    [InlineData("iptables", "tproxy", true)]
    [InlineData("nft", "redirect", false)]
    [InlineData("iptables", "tproxy", false)]
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
    [InlineData("iptables", "iptables -t nat -F", "rules were changed by somebody (iptables): missing: ip nat")]
    [InlineData("iptables", "iptables -t nat -D OUTPUT -j MESH_OUTBOUND", "outbound IPv4: a connection to 255.255.255.254:80 does not get to the sidecar: refused")]
    [InlineData("iptables", "ip6tables -t nat -F MESH_INBOUND", "inbound IPv6: a connection from elsewhere to port 47000 does not get to the sidecar: refused")]
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
        Assert.Contains("BROKEN outbound IPv4: a connection to 255.255.255.254:80 arrives at 127.0.0.1:8080 instead of 127.0.0.1:15001", said, StringComparison.Ordinal);
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
}
