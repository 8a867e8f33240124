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

    private const string Policy = """
        apiVersion: security.istio.io/v1
        kind: AuthorizationPolicy
        metadata: { name: no-admin, namespace: default }
        spec:
          selector: { matchLabels: { app: servers } }
          action: DENY
          rules:
          - to: [{ operation: { ports: ["7001"], paths: ["/admin", "/admin/*"] } }]
        """;

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
        ("a PROXY line", [Text("PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n" + Admin)]),
    ];

    [SkippableFact]
    public Task A_denied_path_is_reached_in_no_disguise() => machines.RunAsync(async network =>
    {
        var given = new ConcurrentQueue<string>();
        using var server = Record(network, given);
        await DenyAsync(network, given);
        foreach (var (from, address) in Ways(network))
        {
            foreach (var (name, parts) in Attacks)
            {
                await AttackAsync(from, address, parts);
                Assert.True(!given.Any(g => g.Contains("admin", StringComparison.Ordinal)), $"{name} from {from.Name} to {address}: the server got {string.Join(" | ", given.Where(g => g.Contains("admin", StringComparison.Ordinal)))}");
            }

            await InsideTlsAsync(from, address);
            Assert.DoesNotContain(given, g => g.Contains("admin", StringComparison.Ordinal));
        }

        // And it is still a server: what is allowed arrives.
        given.Clear();
        Assert.Contains("200 OK", await TalkAsync(network.Client.Host, "servers", "GET /ok HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), StringComparison.Ordinal);
        Assert.Contains("GET /ok", string.Concat(given), StringComparison.Ordinal);
    }, network => network.Mesh.ControlPlane.RemoveRule("no-admin.yaml"));

    [SkippableFact]
    public Task A_denied_path_is_not_reached_by_teaching_that_the_port_is_no_http() => machines.RunAsync(async network =>
    {
        // The lesson: a server that speaks first, heard by everybody.
        using (network.Played.Play(Port, async socket =>
        {
            await Wire.SendAsync(socket, "220 ready\r\n");
            await Wire.ReadToEndAsync(socket);
        }))
        {
            foreach (var (from, address) in Ways(network))
            {
                for (var i = 0; i < 3; i++)
                {
                    using var socket = await from.ConnectAsync(address, Port);
                    Assert.StartsWith("220 ready", await Wire.ReadUntilAsync(socket, "\r\n"), StringComparison.Ordinal);
                }
            }
        }

        var given = new ConcurrentQueue<string>();
        using var server = Record(network, given);
        await DenyAsync(network, given);
        foreach (var (from, address) in Ways(network))
        {
            foreach (var (name, parts) in Attacks)
            {
                await AttackAsync(from, address, parts);
                Assert.True(!given.Any(g => g.Contains("admin", StringComparison.Ordinal)), $"{name} from {from.Name} to {address}");
            }
        }
    }, network => network.Mesh.ControlPlane.RemoveRule("no-admin.yaml"));

    /// <summary>From the mesh and from outside, by every address.</summary>
    private static IEnumerable<(NetworkHost From, string Address)> Ways(ProtocolNetwork network) =>
        [(network.Client.Host, "servers"), (network.Client.Host, network.Servers.Host.Address), (network.Outside, network.Servers.Host.Address), (network.Outside, network.Servers.Host.Address6)];

    /// <summary>Sets the policy and waits until it is obeyed.</summary>
    private static async Task DenyAsync(ProtocolNetwork network, ConcurrentQueue<string> given)
    {
        await network.Mesh.ControlPlane.WriteRuleAsync("no-admin.yaml", Policy);
        await Eventually.PassesAsync(async () =>
        {
            foreach (var (from, address) in Ways(network)) Assert.Contains("403", await TalkAsync(from, address, Admin), StringComparison.Ordinal);
        });
        given.Clear();
    }

    private static IDisposable Record(ProtocolNetwork network, ConcurrentQueue<string> given) => network.Played.Play(Port, async socket =>
    {
        var buffer = new byte[65536];
        while (await socket.ReceiveAsync(buffer) is > 0 and var count)
        {
            given.Enqueue(Encoding.Latin1.GetString(buffer, 0, count));
            await Wire.SendAsync(socket, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
        }
    });

    private static async Task<string> TalkAsync(NetworkHost from, string address, string request)
    {
        using var socket = await from.ConnectAsync(address, Port);
        await Wire.SendAsync(socket, request);
        return await Wire.ReadToEndAsync(socket);
    }

    private static async Task AttackAsync(NetworkHost from, string address, byte[][] parts)
    {
        try
        {
            using var socket = await from.ConnectAsync(address, Port);
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

    private static async Task InsideTlsAsync(NetworkHost from, string address)
    {
        try
        {
            using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(1));
            await using var tls = new SslStream(new NetworkStream(await from.ConnectAsync(address, Port), ownsSocket: true), leaveInnerStreamOpen: false, (_, _, _, _) => true);
            await tls.AuthenticateAsClientAsync(new SslClientAuthenticationOptions { TargetHost = "x" }, patience.Token);
            await tls.WriteAsync(Text(Admin), patience.Token);
            _ = await tls.ReadAtLeastAsync(new byte[4096], 1, throwOnEndOfStream: false, patience.Token);
        }
        catch (Exception e) when (e is SocketException or IOException or OperationCanceledException or System.Security.Authentication.AuthenticationException)
        {
            // Nobody to talk to.
        }
    }

    private static byte[] Text(string text) => Encoding.Latin1.GetBytes(text);
}
