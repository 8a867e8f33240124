using System.Collections.Concurrent;
using System.Net.Security;
using System.Net.Sockets;
using System.Text;
using Mesh.EndToEnd.Tests.Testbed.Network;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Captured;

/// <summary>
/// A policy that denies a path on a port that declares no protocol: nobody gets a request past it by not looking like HTTP. The server writes down every
/// byte it is given.
/// </summary>
[Collection(ProtocolMachines.Group)]
public sealed class DenyTests(ProtocolMachines machines)
{
    private const int Port = 7001;
    private const string Admin = "GET /admin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

    private const int Unregistered = 7555;

    /// <summary>Three ways to say it: what is denied on that port, on any port, and what alone is allowed.</summary>
    private static readonly (string Action, string Operation)[] Policies =
    [
        ("DENY", """{ ports: ["7001"], paths: ["/admin", "/admin/*"] }"""),
        ("DENY", """{ paths: ["/admin", "/admin/*"] }"""),
        ("ALLOW", """{ paths: ["/ok"] }"""),
    ];

    /// <summary>What the servers were given. One for all tests here: sidecars keep connections to them from one test to the next.</summary>
    private static readonly ConcurrentQueue<string> given = new();

    private static readonly byte[] Settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    private static readonly byte[] Preface = Encoding.ASCII.GetBytes("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

    // HEADERS of stream 1, ended: GET, http, /admin as a literal, authority x.
    private static readonly byte[] AdminFrame = [0, 0, 14, 1, 5, 0, 0, 0, 1, 0x82, 0x86, 0x04, 6, .. "/admin"u8, 0x01, 1, (byte)'x'];

    private static readonly (string Name, byte[][] Parts)[] Attacks =
    [
        ("plain", [Text(Admin)]),
        ("in fragments", [.. Admin.Select(c => new[] { (byte)c })]),
        ("after empty lines", [Text("\r\n\r\n" + Admin)]),
        ("after a bare line feed", [Text("\n" + Admin)]),
        ("after a silence", [[], Text(Admin)]),
        ("after what is no HTTP", [[0, 1, 2, 3, 4, 5, 6, 7], Text(Admin)]),
        ("after what a mail client says", [Text("EHLO me\r\n"), Text(Admin)]),
        ("after a request that is allowed", [Text("GET /ok HTTP/1.1\r\nHost: x\r\n\r\n" + Admin)]),
        ("HTTP/1.0 without a Host", [Text("GET /admin HTTP/1.0\r\n\r\n")]),
        ("HTTP/0.9", [Text("GET /admin\r\n")]),
        ("a method nobody knows", [Text(Admin.Replace("GET", "FOO-BAR", StringComparison.Ordinal))]),
        ("lower case", [Text(Admin.Replace("GET", "get", StringComparison.Ordinal))]),
        ("HTTP/2", [[.. Preface, .. Settings, .. AdminFrame]]),
        ("HTTP/2 without its preface", [[.. Settings, .. AdminFrame]]),
        ("a preface that ends early", [Preface[..20], Text(Admin)]),
        ("the head of a ClientHello", [[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3], Text(Admin)]),
        ("a request line that names no version", [Text("GET /admin \r\nHost: x\r\n\r\n")]),
        ("a version nobody knows", [Text(Admin.Replace("HTTP/1.1", "HTTP/3.0", StringComparison.Ordinal))]),
        ("a tab for a space", [Text(Admin.Replace("GET ", "GET\t", StringComparison.Ordinal))]),
        ("odd bytes before", [Text("\0" + Admin)]),
        ("a byte order mark before", [[0xef, 0xbb, 0xbf, .. Text(Admin)]]),
        ("another spelling of the path", [Text(Admin.Replace("/admin", "/x/..//%61dmin", StringComparison.Ordinal))]),
        ("absolute form", [Text(Admin.Replace("/admin", "http://x/admin", StringComparison.Ordinal))]),
        ("a tunnel", [Text("CONNECT 127.0.0.1:7001 HTTP/1.1\r\nHost: x\r\n\r\n" + Admin)]),
        ("an upgrade to bytes", [Text("GET /ok HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n" + Admin)]),
        ("an upgrade to HTTP/2", [Text("GET /ok HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"), [.. Preface, .. Settings, .. AdminFrame]]),
        ("the record of a handshake that is larger than any", [[0x16, 3, 1, 0xff, 0xff], new byte[20_000], Text(Admin)]),
        ("a hello of 64 KiB", [Hello64(), Text(Admin)]),
        ("a PROXY line", [Text("PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n" + Admin)]),
    ];

    [SkippableTheory]
    [InlineData(0, "nft")]
    [InlineData(1, "nft")]
    [InlineData(2, "nft")]
    [LongInlineData(0, "iptables")]
    public Task A_denied_path_is_reached_in_no_disguise(int policy, string backend) => machines.RunAsync(async network =>
    {
        using var servers = await RecordAsync(network, backend);
        var ways = await WaysAsync(network, backend);
        await ObeyedAsync(network, policy, ways);
        await AttackAsync(ways, Port);

        // And it is still a server: what is allowed arrives.
        given.Clear();
        Assert.Contains("200 OK", await TalkAsync(ways[0].From, ways[0].Address, Port, "GET /ok HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), StringComparison.Ordinal);
        Assert.Contains("GET /ok", string.Concat(given), StringComparison.Ordinal);
    }, RemoveRules);

    [SkippableFact]
    public Task A_port_that_nobody_registered_is_no_way_around_a_policy_for_all_ports() => machines.RunAsync(async network =>
    {
        using var servers = await RecordAsync(network);
        using var listener = network.Servers.Host.Listen(Unregistered);
        _ = AcceptAsync(listener);
        var ways = (await WaysAsync(network)).Where(w => w.Address == network.Servers.Host.Address || w.Address == network.Servers.Host.Address6).ToList();
        foreach (var (from, address) in ways)
        {
            using var socket = await from.ConnectAsync(address, Unregistered);
            await Wire.SendAsync(socket, Admin);
            Assert.Contains("200", await Wire.ReadUntilAsync(socket, "hi"), StringComparison.Ordinal);
        }

        await ObeyedAsync(network, 1, ways, Unregistered);
        await AttackAsync(ways, Unregistered);
    }, RemoveRules);

    [SkippableTheory]
    [InlineData("nft")]
    [LongInlineData("iptables")]
    public Task A_denied_path_is_not_reached_by_teaching_that_the_port_is_no_http(string backend) => machines.RunAsync(async network =>
    {
        // The lesson: a server that speaks first, heard by everybody.
        var ways = await WaysAsync(network, backend);
        using (await PlayAsync(network, backend, async socket =>
        {
            await Wire.SendAsync(socket, "220 ready\r\n");
            await Wire.ReadToEndAsync(socket);
        }))
        {
            foreach (var (from, address) in ways)
            {
                // The first time not before the rules of the test before are gone.
                for (var i = 0; i < 3; i++)
                {
                    await Eventually.PassesAsync(async () =>
                    {
                        using var socket = await from.ConnectAsync(address, Port);
                        Assert.StartsWith("220 ready", await Wire.ReadUntilAsync(socket, "\r\n"), StringComparison.Ordinal);
                    }, 60);
                }
            }
        }

        using var server = await RecordAsync(network, backend);
        await ObeyedAsync(network, 0, ways);
        await AttackAsync(ways, Port);
    }, RemoveRules);

    [SkippableFact]
    public Task A_route_makes_an_undeclared_port_http_or_nothing_and_no_other() => machines.RunAsync(async network =>
    {
        using var servers = await RecordAsync(network);
        using var mail = network.Played.Play(2525, async socket =>
        {
            await Wire.SendAsync(socket, "220 ready\r\n");
            await Wire.ReadToEndAsync(socket);
        });
        var host = network.Client.Host;
        var (v4, v6) = await CapturedMesh.AddressesAsync(network.Client, "servers");
        string[] addresses = ["servers", v4, v6];
        await network.Mesh.ControlPlane.WriteRuleAsync("only-ok.yaml", """
            apiVersion: gateway.networking.k8s.io/v1
            kind: HTTPRoute
            metadata: { name: only-ok, namespace: default }
            spec:
              parentRefs: [{ group: "", kind: Service, name: servers, port: 7001 }]
              rules:
              - matches: [{ path: { type: PathPrefix, value: /ok } }]
                backendRefs: [{ name: servers, port: 7001 }]
            """);
        await Eventually.PassesAsync(async () =>
        {
            foreach (var address in addresses) Assert.Contains("404", await TalkAsync(host, address, Port, Admin), StringComparison.Ordinal);
        });
        given.Clear();
        await AttackAsync([.. addresses.Select(address => (host, address))], Port);
        Assert.DoesNotContain(given, g => !g.StartsWith("GET /ok", StringComparison.Ordinal));
        foreach (var address in addresses)
        {
            // What is no HTTP is told so; who says nothing is not passed on, however long he does.
            Assert.StartsWith("HTTP/1.1 400", await TalkAsync(host, address, Port, "\0\u0001\u0002\u0003\r\n\r\n"), StringComparison.Ordinal);
            using var silent = await host.ConnectAsync(address, Port);
            Assert.Equal("", await Wire.ReadToEndAsync(silent));
            Assert.Contains("200 OK", await TalkAsync(host, address, Port, "GET /ok HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), StringComparison.Ordinal);
            // Where there is no rule a server still begins.
            using var greeted = await host.ConnectAsync(address, 2525);
            Assert.Equal("220 ready\r\n", await Wire.ReadUntilAsync(greeted, "\r\n"));
        }

        Assert.DoesNotContain(given, g => !g.StartsWith("GET /ok", StringComparison.Ordinal));
    }, RemoveRules);

    private static void RemoveRules(ProtocolNetwork network)
    {
        network.Mesh.ControlPlane.RemoveRule("no-admin.yaml");
        network.Mesh.ControlPlane.RemoveRule("only-ok.yaml");
    }

    /// <summary>From the mesh and from outside, by every address, to a machine with REDIRECT and to one with TPROXY.</summary>
    private static async Task<IReadOnlyList<(NetworkHost From, string Address)>> WaysAsync(ProtocolNetwork network, string backend = "nft")
    {
        var (shown, _) = await network.TransparentAsync(backend);
        if (backend != "nft")
        {
            var (tables, _) = await network.TablesAsync();
            await CapturedMesh.KnowsAsync(shown, tables);
            await CapturedMesh.KnowsAsync(tables, shown);
            return [(shown.Host, "tables"), (shown.Host, tables.Host.Address), (network.Outside, tables.Host.Address), (network.Outside, tables.Host.Address6), (tables.Host, shown.Service), (network.Outside, shown.Host.Address), (network.Outside, shown.Host.Address6)];
        }

        await CapturedMesh.KnowsAsync(network.Client, network.Servers, shown);
        return
        [
            (network.Client.Host, "servers"), (network.Client.Host, network.Servers.Host.Address), (network.Outside, network.Servers.Host.Address), (network.Outside, network.Servers.Host.Address6),
            (network.Client.Host, "shown"), (network.Outside, shown.Host.Address), (network.Outside, shown.Host.Address6),
        ];
    }

    /// <summary>Sets the policy and waits until it is obeyed.</summary>
    private static async Task ObeyedAsync(ProtocolNetwork network, int policy, IReadOnlyList<(NetworkHost From, string Address)> ways, int port = Port)
    {
        await network.Mesh.ControlPlane.WriteRuleAsync("no-admin.yaml", $$"""
            apiVersion: security.istio.io/v1
            kind: AuthorizationPolicy
            metadata: { name: no-admin, namespace: default }
            spec:
              action: {{Policies[policy].Action}}
              rules:
              - to: [{ operation: {{Policies[policy].Operation}} }]
            """);
        await Eventually.PassesAsync(async () =>
        {
            foreach (var (from, address) in ways) Assert.Contains("403", await TalkAsync(from, address, port, Admin), StringComparison.Ordinal);
        });
        given.Clear();
    }

    /// <summary>All attacks by all ways; the server must not be given what is denied.</summary>
    private static async Task AttackAsync(IReadOnlyList<(NetworkHost From, string Address)> ways, int port)
    {
        foreach (var (from, address) in ways)
        {
            // At once: each is a connection of its own.
            await Task.WhenAll([.. Attacks.Select(attack => AttackAsync(from, address, port, attack.Parts)), InsideTlsAsync(from, address, port)]);
            if (given.FirstOrDefault(g => g.Contains("admin", StringComparison.Ordinal)) is not { } got) continue;
            foreach (var (name, parts) in Attacks)
            {
                given.Clear();
                await AttackAsync(from, address, port, parts);
                Assert.True(!given.Any(g => g.Contains("admin", StringComparison.Ordinal)), $"{name} from {from.Name} to {address}: the server got {string.Join(" | ", given)}");
            }

            Assert.Fail($"from {from.Name} to {address} the server got {got}");
        }
    }

    private static Task<IDisposable> RecordAsync(ProtocolNetwork network, string backend = "nft") => PlayAsync(network, backend, ServeAsync);

    private static async Task<IDisposable> PlayAsync(ProtocolNetwork network, string backend, Func<Socket, Task> serve)
    {
        var (_, shown) = await network.TransparentAsync(backend);
        var redirected = backend == "nft" ? network.Played : (await network.TablesAsync()).Played;
        return new Both(redirected.Play(Port, serve), shown.Play(Port, serve));
    }

    private static async Task ServeAsync(Socket socket)
    {
        var buffer = new byte[65536];
        while (await socket.ReceiveAsync(buffer) is > 0 and var count)
        {
            given.Enqueue(Encoding.Latin1.GetString(buffer, 0, count));
            await Wire.SendAsync(socket, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
        }
    }

    private static async Task AcceptAsync(Socket listener)
    {
        try
        {
            while (true) _ = ServeQuietlyAsync(await listener.AcceptAsync());
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // Closed.
        }
    }

    private static async Task ServeQuietlyAsync(Socket socket)
    {
        using (socket)
        {
            try
            {
                await ServeAsync(socket);
            }
            catch (SocketException)
            {
                // Cut.
            }
        }
    }

    private static async Task<string> TalkAsync(NetworkHost from, string address, int port, string request)
    {
        using var socket = await from.ConnectAsync(address, port);
        await Wire.SendAsync(socket, request);
        return await Wire.ReadToEndAsync(socket);
    }

    private static async Task AttackAsync(NetworkHost from, string address, int port, byte[][] parts)
    {
        try
        {
            using var socket = await from.ConnectAsync(address, port);
            foreach (var part in parts)
            {
                if (part.Length == 0) await Task.Delay(150); // A silence longer than any detection waits.
                else await socket.SendAsync(part);
            }

            // Over when the other side has said or ended something, or has had its time.
            using var patience = new CancellationTokenSource(TimeSpan.FromMilliseconds(400));
            await socket.ReceiveAsync(new byte[4096], patience.Token);
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException)
        {
            // Refused, or left without an answer: as it should be.
        }
    }

    private static async Task InsideTlsAsync(NetworkHost from, string address, int port)
    {
        try
        {
            using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(1));
            await using var tls = new SslStream(new NetworkStream(await from.ConnectAsync(address, port), ownsSocket: true), leaveInnerStreamOpen: false, (_, _, _, _) => true);
            await tls.AuthenticateAsClientAsync(new SslClientAuthenticationOptions { TargetHost = "x" }, patience.Token);
            await tls.WriteAsync(Text(Admin), patience.Token);
            _ = await tls.ReadAtLeastAsync(new byte[4096], 1, throwOnEndOfStream: false, patience.Token);
        }
        catch (Exception e) when (e is SocketException or IOException or OperationCanceledException or System.Security.Authentication.AuthenticationException)
        {
            // Nobody to talk to.
        }
    }

    /// <summary>Ends two plays.</summary>
    private sealed class Both(IDisposable one, IDisposable other) : IDisposable
    {
        public void Dispose()
        {
            one.Dispose();
            other.Dispose();
        }
    }

    /// <summary>The whole hello of a TLS client that is larger than any, in records of 16 KiB.</summary>
    private static byte[] Hello64()
    {
        byte[] message = [1, 0, 0xff, 0xfc, 3, 3, .. new byte[65_530]];
        return [.. message.Chunk(16_384).SelectMany(chunk => (byte[])[0x16, 3, 1, (byte)(chunk.Length >> 8), (byte)chunk.Length, .. chunk])];
    }

    private static byte[] Text(string text) => Encoding.Latin1.GetBytes(text);
}
