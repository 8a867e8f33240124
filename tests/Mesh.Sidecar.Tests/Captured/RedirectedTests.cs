using Mesh.Tests;
using static Mesh.Sidecar.Tests.Captured.CapturedYaml;

namespace Mesh.Sidecar.Tests.Captured;

/// <summary>Outbound traffic that REDIRECT brings, with real rules and sockets.</summary>
public sealed class RedirectedTests
{
    private static readonly string Chains = string.Join(", ",
        HttpChain("10.96.0.10", 80, VirtualHost("any", "'*'", "web")),
        HttpChain("fd96::10", 80, VirtualHost("any", "'*'", "web6")),
        TcpChain("10.96.0.20", 5432, "db"),
        TcpChain("fd96::20", 5432, "db6"),
        HttpChain("127.0.0.1", 15001, VirtualHost("web", "web", "web") + ", " + VirtualHost("rest", "'*'", "PassthroughCluster")),
        HttpChain("::1", 15001, VirtualHost("web", "web", "web") + ", " + VirtualHost("rest", "'*'", "PassthroughCluster")));

    private static readonly string Static = CapturedYaml.File(
        Outbound("outbound", "127.0.0.1", Chains) + ", " + Outbound("outbound6", "::1", Chains),
        string.Join(", ", Passthrough, Cluster("web", "10.77.0.1", 8080), Cluster("web6", "fd77::1", 8080), Cluster("db", "10.77.0.1", 5433), Cluster("db6", "fd77::1", 5433)));

    [SkippableTheory]
    [InlineData("10.96.0.10", "10.77.0.1", "10.96.0.20")]
    [InlineData("fd96::10", "fd77::1", "fd96::20")]
    public async Task AServiceAddressLeadsToTheService(string vip, string endpoint, string database)
    {
        Skip.If(NetworkNamespace.Missing is not null, NetworkNamespace.Missing);
        await using var host = await CapturedHost.StartAsync(Static);
        var web = host.Keep(new Peer(host.World, endpoint, 8080, speaksFirst: false) { Answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello" });
        using var db = host.Serve(endpoint, 5433);

        // By the address the client chose, whatever its Host says.
        Assert.EndsWith("hello", await host.AskAsync(vip, 80, "nobody.example"), StringComparison.Ordinal);
        Assert.Contains("Host: nobody.example", Assert.Single(web.Seen).Sent.ToString(), StringComparison.OrdinalIgnoreCase);
        var socket = await host.DialAsync(database, 5432);
        // Declared as TCP nothing is waited for: the server speaks first.
        Assert.Contains("5433", await CapturedHost.TalkAsync(socket, "", "\n"), StringComparison.Ordinal);
        Assert.Equal("ping", await CapturedHost.TalkAsync(socket, "ping", "ping"));
    }

    [SkippableTheory]
    [InlineData("10.77.0.1")]
    [InlineData("fd77::1")]
    public async Task UnknownDestinationsPassThroughUntouched(string address)
    {
        Skip.If(NetworkNamespace.Missing is not null, NetworkNamespace.Missing);
        await using var host = await CapturedHost.StartAsync(Static);
        using var server = host.Serve(address, 7000);
        var socket = await host.DialAsync(address, 7000);
        Assert.Contains("7000", await CapturedHost.TalkAsync(socket, "", "\n"), StringComparison.Ordinal);
        const string Request = "GET http://elsewhere.example/ HTTP/1.1\r\nhOsT: elsewhere.example\r\nX-Odd:  spaces \r\n\r\n";
        Assert.Equal(Request, await CapturedHost.TalkAsync(socket, Request, "\r\n\r\n"));
        socket.Shutdown(System.Net.Sockets.SocketShutdown.Send);
        Assert.Equal("", await CapturedHost.TalkAsync(socket, ""));
        // The connection came from the sidecar: the kernel knew where it was to go, nothing else did.
        await Mesh.Tests.Eventually.TrueAsync(() => host.Output.Contains("PassthroughCluster", StringComparison.Ordinal), () => host.Output);
    }

    /// <summary>Rules that capture the sidecar's own connections, too: somebody runs it as another user than the rules leave alone.</summary>
    [SkippableTheory]
    [InlineData("10.77.0.1", 7000)] // nobody's
    [InlineData("fd77::1", 7000)]
    [InlineData("10.96.0.20", 5432)] // a service's
    public async Task AConnectionThatComesBackIsCutAndCounted(string address, int port)
    {
        Skip.If(NetworkNamespace.Missing is not null, NetworkNamespace.Missing);
        await using var host = await CapturedHost.StartAsync(Static, CapturedHost.Redirect.Replace("meta skuid 1337 return; ", "", StringComparison.Ordinal));
        using var server = host.Serve(address.Contains(':', StringComparison.Ordinal) ? address : "10.77.0.1", port);
        for (var i = 0; i < 5; i++)
        {
            try
            {
                using var socket = await host.DialAsync(address, port);
                Assert.Fail($"it was served: \"{await CapturedHost.TalkAsync(socket, "", "\n")}\"\n{host.Output}");
            }
            catch (System.Net.Sockets.SocketException)
            {
                // Cut.
            }
        }

        var metrics = await host.MetricsAsync();
        Assert.Contains("mesh_sidecar_capture_refused_total{direction=\"outbound\",reason=\"loop\"} ", metrics, StringComparison.Ordinal);
        // Each was cut within a turn or two.
        var taken = System.Text.RegularExpressions.Regex.Match(metrics, @"mesh_sidecar_downstream_connections_total (\d+)");
        Assert.InRange(int.Parse(taken.Groups[1].Value, System.Globalization.CultureInfo.InvariantCulture), 10, 40);
        Assert.Contains("--proxy-uid", host.Output, StringComparison.Ordinal);
    }

    [SkippableTheory]
    [InlineData("127.0.0.1")]
    [InlineData("::1")]
    public async Task ThePortItselfIsTheProxyItAlwaysWas(string loopback)
    {
        Skip.If(NetworkNamespace.Missing is not null, NetworkNamespace.Missing);
        await using var host = await CapturedHost.StartAsync(Static);
        using var web = new Peer(host.World, "10.77.0.1", 8080, speaksFirst: false) { Answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello" };
        Assert.EndsWith("hello", await host.AskAsync(loopback, 15001, "web"), StringComparison.Ordinal);
    }
}
