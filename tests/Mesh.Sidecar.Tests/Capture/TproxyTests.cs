using static Mesh.Sidecar.Tests.Capture.CaptureNetwork;

namespace Mesh.Sidecar.Tests.Capture;

/// <summary>Inbound by transparent sockets: the client's address reaches the application.</summary>
public class TproxyTests
{
    [SkippableTheory]
    [InlineData("nft")]
    [InlineData("iptables")]
    public async Task The_sidecar_sees_both_addresses_as_they_are_and_may_dial_with_the_clients(string backend)
    {
        await using var network = await StartAsync(backend);
        await network.StartSidecarAsync("/tproxy");
        network.Succeed("install", "--backend", backend, "--mode", "tproxy");
        Assert.Matches($@"^in \S+ {Here}:8080 {There}:\d+$", network.DialFromPeer(Here, 8080));
        Assert.Matches($@"^in \S+ \[{Here6}\]:8080 \[{There6}\]:\d+$", network.DialFromPeer(Here6, 8080));
        Assert.StartsWith("app", network.DialFromPeer(Here, 15021), StringComparison.Ordinal);
        // The sidecar's own connection to the application, as if it were the client's; the answer comes back to it.
        Assert.Matches($@"^app \S+ {Here}:8080 {There}:\d+$", network.DialAs(1337, Here, 8080, $"from={There}", "transparent"));
        Assert.Matches($@"^app \S+ \[{Here6}\]:8080 \[{There6}\]:\d+$", network.DialAs(1337, Here6, 8080, $"from={There6}", "transparent"));
        // Everything else as without.
        Assert.StartsWith("out", network.Dial(There, 80), StringComparison.Ordinal);
        Assert.StartsWith("peer", network.DialAs(1337, There, 80), StringComparison.Ordinal);
        Assert.StartsWith("app", network.DialAs(1337, Here, 8080), StringComparison.Ordinal);
        Assert.StartsWith($"in {Here}:8080", network.DialAs(1337, Here, 8080, "from=127.15.0.6"), StringComparison.Ordinal);
        network.Succeed("remove");
        Assert.StartsWith("app", network.DialFromPeer(Here, 8080), StringComparison.Ordinal);
    }

    [SkippableTheory]
    [InlineData("nft", "ECONNREFUSED")]
    [InlineData("iptables", "ETIMEDOUT")]
    public async Task Without_a_sidecar_nothing_gets_by(string backend, string failure)
    {
        await using var network = await StartAsync(backend);
        network.Succeed("install", "--backend", backend, "--mode", "tproxy");
        Assert.Equal(failure, network.DialFromPeer(Here, 8080, "wait=2"));
        Assert.Equal(failure, network.DialFromPeer(Here6, 8080, "wait=2"));
    }

    [SkippableTheory]
    [InlineData("nft", "tproxy")]
    [InlineData("iptables", "tproxy")]
    [InlineData("nft", "redirect")]
    [InlineData("iptables", "redirect")]
    public async Task Connections_from_before_stay_as_they_are(string backend, string mode)
    {
        await using var network = await StartAsync(backend);
        await using var server = network.Workload.Start("python3", "-c", """
            import socket
            l = socket.create_server(("0.0.0.0", 8090)); print("ready", flush=True)
            c, _ = l.accept(); c.sendall(b"hello"); c.sendall(c.recv(100) + b" here"); c.recv(1)
            """);
        Assert.Equal("ready", await server.NextLineAsync());
        await using var client = network.Peer.Start("python3", "-c", $"""
            import socket, sys
            s = socket.create_connection(("{Here}", 8090)); print(s.recv(100).decode(), flush=True)
            sys.stdin.readline(); s.sendall(b"still"); print(s.recv(100).decode(), flush=True)
            """);
        Assert.Equal("hello", await client.NextLineAsync());
        // Connection tracking has not seen it begin; it begins with the rules.
        network.Succeed("install", "--backend", backend, "--mode", mode);
        await client.TellAsync("go on");
        Assert.Equal("still here", await client.NextLineAsync());
    }
}
