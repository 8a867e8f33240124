using Mesh.EndToEnd.Tests.Testbed.Network;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Captured;

/// <summary>
/// A machine for each way to be captured: REDIRECT and TPROXY, nft and iptables, known by IPv4 and by IPv6; two that call, by nft and by iptables. Each serves
/// HTTP on 8080, gRPC on 50051, and a greeting on 2525, which declares nothing. Started by the first test that asks, ended after the last.
/// </summary>
public sealed class Shapes : IAsyncLifetime
{
    /// <summary>The kinds of servers: all of them in the long groups, else four, in which each two choices meet.</summary>
    internal static readonly string[] Kinds = !LongInlineDataAttribute.IsOn ? ["redirect-nft-v4", "redirect-iptables-v6", "tproxy-nft-v6", "tproxy-iptables-v4"] : [.. from mode in (string[])["redirect", "tproxy"] from backend in (string[])["nft", "iptables"] from family in (string[])["v4", "v6"] select $"{mode}-{backend}-{family}"];

    private readonly Lazy<Task<ShapedMachines>> machines = new(StartAsync);

    /// <summary>The kinds of servers, for theories.</summary>
    public static TheoryData<string> Servers => [.. Kinds];

    /// <inheritdoc/>
    public Task InitializeAsync() => Task.CompletedTask;

    /// <inheritdoc/>
    public async Task DisposeAsync()
    {
        if (machines.IsValueCreated && machines.Value.IsCompletedSuccessfully) await (await machines.Value).Mesh.DisposeAsync();
    }

    /// <summary>Runs a test on the machines; skips it where there can be none.</summary>
    internal async Task RunAsync(Func<ShapedMachines, Task> test)
    {
        var made = await machines.Value;
        await made.Mesh.RunAsync(() => test(made));
    }

    private static async Task<ShapedMachines> StartAsync()
    {
        var mesh = await CapturedMesh.StartAsync();
        try
        {
            Task<CapturedWorkload>[] clients = [mesh.AddAsync("nft", "nft"), mesh.AddAsync("iptables", "iptables", new() { Backend = "iptables" })];
            var servers = await Task.WhenAll(Kinds.Select((kind, number) => ServerAsync(mesh, number, kind.Split('-'))));
            await Task.WhenAll(clients.Select(async client => await CapturedMesh.KnowsAsync(await client, servers)));
            return new ShapedMachines(mesh, await Task.WhenAll(clients), servers);
        }
        catch
        {
            await mesh.DisposeAsync();
            throw;
        }
    }

    private static async Task<CapturedWorkload> ServerAsync(CapturedMesh mesh, int number, string[] kind)
    {
        var name = $"shape{number}";
        var made = await mesh.AddAsync(name, name, new CaptureShape { Mode = kind[0], Backend = kind[1], IsV6 = kind[2] == "v6", Ports = ["8080:http:web", "50051:grpc:grpc", "2525::mail"] });
        await made.Host.ServeAsync("serving", CapturedShop.Python, CapturedMesh.Script("app.py"), name, "8080");
        await made.Host.ServeAsync("serving", CapturedShop.Python, CapturedMesh.Script("grpc_app.py"), "serve", "50051");
        made.Host.Own(new Greeting(made.Host, 2525, name));
        return made;
    }
}

/// <summary>The machines.</summary>
internal sealed record ShapedMachines(CapturedMesh Mesh, IReadOnlyList<CapturedWorkload> Clients, IReadOnlyList<CapturedWorkload> Servers)
{
    /// <summary>The server of a kind.</summary>
    public CapturedWorkload Server(string kind) => Servers[Array.IndexOf(Shapes.Kinds, kind)];
}
