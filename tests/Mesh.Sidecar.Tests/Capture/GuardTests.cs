using Mesh.Tests;
using static Mesh.Sidecar.Tests.Capture.CaptureNetwork;

namespace Mesh.Sidecar.Tests.Capture;

/// <summary>
/// Connection tracking remembers ended connections, and NAT does not look again at what it takes for one of them: a new connection on the ports of one
/// that ended by a reset would go where that went.
/// </summary>
public class GuardTests
{
    private const string Resetting = """
        import socket, struct
        l = [socket.create_server(("0.0.0.0", 8090)), socket.create_server(("::", 8090), family=socket.AF_INET6)]
        print("ready", flush=True)
        import select
        while True:
            for s in select.select(l, [], [])[0]:
                c, _ = s.accept(); c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)); c.close()
        """;

    [SkippableTheory]
    [InlineData("nft", There, Here)]
    [InlineData("nft", There6, Here6)]
    [InlineData("iptables", There, Here)]
    [LongInlineData("iptables", There6, Here6)]
    public async Task The_ports_of_a_reset_connection_are_no_way_past_the_sidecar(string backend, string there, string here)
    {
        await using var network = await StartAsync(backend);
        await network.StartSidecarAsync();
        await using var server = network.Peer.Start("/usr/bin/python3", "-c", Resetting.Replace("\"::\", 8090", $"\"{There6}\", 8090", StringComparison.Ordinal));
        Assert.Equal("ready", await server.NextLineAsync());
        network.Succeed("install", "--backend", backend);
        // The sidecar's connection, reset by the other end ...
        Assert.Contains(network.DialAs(1337, there, 8090, $"from={here}/40001"), (string[])["ECONNRESET", "closed"]);
        // ... and the application's on the same ports: captured or refused, but not there.
        Assert.Matches(@"^(out|ECONNREFUSED)", network.Dial(there, 8090, $"from={here}/40001"));
        Assert.StartsWith("out", network.Dial(there, 8090, $"from={here}/40002"), StringComparison.Ordinal);
    }

    [SkippableTheory]
    [InlineData("nft")]
    [InlineData("iptables")]
    public async Task Nor_are_those_of_a_connection_from_before_the_rules(string backend)
    {
        await using var network = await StartAsync(backend);
        await network.StartSidecarAsync();
        await using var server = network.Workload.Start("/usr/bin/python3", "-c", Resetting.Replace("\"::\", 8090", $"\"{Here6}\", 8090", StringComparison.Ordinal));
        Assert.Equal("ready", await server.NextLineAsync());
        // Connection tracking on, nothing captured.
        network.Succeed("install", "--backend", backend, "--inbound-ports", "1");
        Assert.Contains(network.DialFromPeer(Here, 8090, "from=10.9.0.2/40001"), (string[])["ECONNRESET", "closed"]);
        network.Succeed("install", "--backend", backend);
        Assert.Matches(@"^(in|ECONNREFUSED)", network.DialFromPeer(Here, 8090, "from=10.9.0.2/40001"));
        Assert.StartsWith("in", network.DialFromPeer(Here, 8090, "from=10.9.0.2/40002"), StringComparison.Ordinal);
    }

    /// <summary>Where the kernel takes packets for 127.0.0.0/8 from a cable (<c>route_localnet</c>, as kube-proxy sets it), whoever is on the same link can send them.</summary>
    [SkippableTheory]
    [InlineData("nft", "redirect")]
    [InlineData("nft", "tproxy")]
    [InlineData("iptables", "redirect")]
    [LongInlineData("iptables", "tproxy")]
    public async Task What_listens_on_loopback_alone_is_nobodys_elsewhere(string backend, string mode)
    {
        await using var network = await StartAsync(backend, "sysctl");
        await network.StartSidecarAsync(mode == "tproxy" ? "/tproxy" : "");
        network.Workload.Must("sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1");
        // To the peer's kernel that network is like any other, then.
        network.Peer.Must("sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1");
        network.Peer.Ip("addr flush dev lo");
        network.Peer.Ip($"route add 127.0.0.0/8 via {Here}");
        AssertOpen();
        // The guard does not depend on what is captured.
        foreach (var options in (string[][])[[], ["--inbound-ports", "none", "--outbound-ports", "none"]])
        {
            network.Succeed(["install", "--backend", backend, "--mode", mode, "--resolvers", There, .. options]);
            foreach (var port in (int[])[8081, 15001, 15006, 80]) Assert.Equal("ETIMEDOUT", network.DialFromPeer("127.0.0.1", port, "wait=0.5"));
            Assert.Equal("ETIMEDOUT", network.DialFromPeer("127.15.0.6", 15006, "wait=0.5"));
            Assert.Equal("ETIMEDOUT", network.DialFromPeer("127.0.0.1", 15053, "udp", "wait=0.5"));
            Assert.StartsWith("app", network.Dial("127.0.0.1", 8081), StringComparison.Ordinal);
            Assert.StartsWith(options.Length == 0 ? "in" : "app", network.DialFromPeer(Here, 8080), StringComparison.Ordinal);
        }

        network.Succeed("check");
        network.Succeed("remove");
        AssertOpen();

        void AssertOpen()
        {
            Assert.StartsWith("app", network.DialFromPeer("127.0.0.1", 8081), StringComparison.Ordinal);
            Assert.StartsWith("out", network.DialFromPeer("127.0.0.1", 15001), StringComparison.Ordinal);
            Assert.StartsWith("dns", network.DialFromPeer("127.0.0.1", 15053, "udp"), StringComparison.Ordinal);
        }
    }

    /// <summary>What others' rules lead to loopback was not sent there.</summary>
    [SkippableTheory]
    [InlineData("nft")]
    [InlineData("iptables")]
    public async Task What_others_lead_to_loopback_gets_there(string backend)
    {
        await using var network = await StartAsync(backend, "nft", "sysctl");
        network.Workload.Must("sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1");
        network.Workload.Nft("table ip theirs { chain in { type nat hook prerouting priority -120; tcp dport 7070 dnat to 127.0.0.1:8081; }; }");
        network.Succeed("install", "--backend", backend, "--exclude-inbound-ports", "7070,8081");
        Assert.StartsWith("app", network.DialFromPeer(Here, 7070), StringComparison.Ordinal);
    }
}
