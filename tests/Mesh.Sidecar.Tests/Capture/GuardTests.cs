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
    [InlineData("iptables", There6, Here6)]
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
}
