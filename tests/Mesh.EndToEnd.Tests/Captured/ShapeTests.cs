using Mesh.EndToEnd.Tests.Testbed.Network;
using static Mesh.EndToEnd.Tests.Captured.ProtocolNetwork;

namespace Mesh.EndToEnd.Tests.Captured;

/// <summary>
/// Every way to be captured carries the same: HTTP, gRPC and a server that speaks first, by name, by either virtual address and by the instance's own of both families, from a
/// client captured by nft and one by iptables.
/// </summary>
public sealed class ShapeTests(Shapes shapes) : IClassFixture<Shapes>
{
    [SkippableTheory]
    [MemberData(nameof(Shapes.Servers), MemberType = typeof(Shapes))]
    public Task Http(string kind) => FromEachAsync(kind, async (client, server, address) =>
    {
        var url = $"http://{InUrl(address)}:8080";
        Assert.StartsWith($"{server.Host.Name} GET /a?b=c from ", (await client.Host.CurlAsync($"{url}/a?b=c")).Body, StringComparison.Ordinal);
        Assert.Contains($"URI=spiffe://cluster.local/ns/default/sa/{client.Service}", (await client.Host.CurlAsync($"{url}/?headers")).Body, StringComparison.Ordinal);
        Assert.Equal("a body\n200", (await client.Host.CurlAsync("--data-binary", "a body", $"{url}/")).Output);
    });

    [SkippableTheory]
    [MemberData(nameof(Shapes.Servers), MemberType = typeof(Shapes))]
    public Task A_server_that_speaks_first(string kind) => FromEachAsync(kind, async (client, server, address) =>
    {
        using var socket = await client.Host.ConnectAsync(address, 2525);
        // Which of its addresses the connection came to: the one that was called, or for the service's the one it is known by.
        var at = address == server.Host.Address || address == server.Host.Address6 ? address : server.Address;
        // Who TPROXY captures sees its clients: by the address they have in the family that they came by.
        var seen = kind.StartsWith("tproxy", StringComparison.Ordinal) ? at.Contains(':', StringComparison.Ordinal) ? client.Host.Address6 : client.Host.Address : at;
        Assert.Equal($"220 {server.Host.Name} hears {seen}\r\n", await Wire.ReadUntilAsync(socket, "\r\n"));
        await Wire.SendAsync(socket, "EHLO me\r\n");
        Assert.Equal("EHLO me\r\n", await Wire.ReadUntilAsync(socket, "\r\n"));
        socket.Shutdown(System.Net.Sockets.SocketShutdown.Send);
        Assert.Equal("", await Wire.ReadToEndAsync(socket));
    });

    [SkippableTheory]
    [MemberData(nameof(Shapes.Servers), MemberType = typeof(Shapes))]
    public Task Grpc(string kind) => FromEachAsync(kind, async (client, _, address) =>
    {
        var called = await client.Host.RunAsync(CapturedShop.Python, CapturedMesh.Script("grpc_app.py"), "call", $"{InUrl(address)}:50051");
        Assert.True(called.Code == 0, called.All);
        Assert.Contains($"URI=spiffe://cluster.local/ns/default/sa/{client.Service}", called.Output, StringComparison.Ordinal);
        Assert.EndsWith("['x', 'x', 'x']\n4\n['1', '2']\nFAILED_PRECONDITION you said so\n", called.Output, StringComparison.Ordinal);
    }, (server, address) => address == server.Service || address == server.Address);

    [SkippableTheory]
    [MemberData(nameof(Shapes.Servers), MemberType = typeof(Shapes))]
    public Task The_rules_stand_the_judgement_of_check(string kind) => shapes.RunAsync(machines => machines.Server(kind).CaptureAsync("check"));

    private Task FromEachAsync(string kind, Func<CapturedWorkload, CapturedWorkload, string, Task> test, Func<CapturedWorkload, string, bool>? only = null) => shapes.RunAsync(async machines =>
    {
        var server = machines.Server(kind);
        foreach (var client in machines.Clients)
        {
            var (v4, v6) = await CapturedMesh.AddressesAsync(client, server.Service);
            string[] ways = [server.Service, v4, v6, server.Host.Address, server.Host.Address6];
            foreach (var address in ways.Where(way => only?.Invoke(server, way) ?? true))
            {
                try
                {
                    await Secrecy.HoldsAsync(machines.Mesh.Network, client, server, () => test(client, server, address));
                }
                catch (Exception e) when (e is not Xunit.SkipException)
                {
                    throw new InvalidOperationException($"{client.Service} by {address}: {e.Message}\n{e.StackTrace}", e);
                }
            }
        }
    });
}
