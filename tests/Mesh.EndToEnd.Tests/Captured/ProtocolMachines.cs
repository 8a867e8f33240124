using System.Collections.Concurrent;
using Mesh.EndToEnd.Tests.Testbed.Network;

namespace Mesh.EndToEnd.Tests.Captured;

/// <summary>
/// A machine with servers that the tests play themselves, one with a web application, one that calls them, and one outside the mesh; further servers
/// get machines of their own. Started by the first test that asks, ended after the last.
/// </summary>
public sealed class ProtocolMachines : IAsyncLifetime
{
    /// <summary>Name of the tests that share it.</summary>
    public const string Group = "captured protocols";

    private readonly Lazy<Task<ProtocolNetwork>> machines = new(StartAsync);

    /// <inheritdoc/>
    public Task InitializeAsync() => Task.CompletedTask;

    /// <inheritdoc/>
    public async Task DisposeAsync()
    {
        if (machines.IsValueCreated && machines.Value.IsCompletedSuccessfully) await (await machines.Value).Mesh.DisposeAsync();
    }

    /// <summary>Runs a test on the machines; skips it where there can be none.</summary>
    internal async Task RunAsync(Func<ProtocolNetwork, Task> test, Action<ProtocolNetwork>? after = null)
    {
        var network = await machines.Value;
        try
        {
            await network.Mesh.RunAsync(() => test(network));
        }
        finally
        {
            after?.Invoke(network);
        }
    }

    /// <summary>The same for each way to a service: its name, its virtual addresses IPv4 and IPv6, and the instance's own.</summary>
    internal Task RunOnEachAsync(string service, Func<ProtocolNetwork, string, Task> test) => RunOnServerAsync(service, [], _ => Task.CompletedTask, test);

    /// <summary>The same for a server that gets a machine of its own, by the first test that asks for it.</summary>
    internal Task RunOnServerAsync(string service, string[] ports, Func<NetworkHost, Task> start, Func<ProtocolNetwork, string, Task> test) => RunAsync(async network =>
    {
        if (ports.Length > 0) await network.ServerAsync(service, ports, start);
        foreach (var address in await network.WaysAsync(service))
        {
            try
            {
                await Secrecy.HoldsAsync(network.Mesh.Network, network.Client, network.Mesh.Workloads.Single(w => w.Host.Name == service), () => test(network, address));
            }
            catch (Exception e) when (e is not Xunit.SkipException)
            {
                throw new InvalidOperationException($"by {address}: {e.Message}\n{e.StackTrace}", e);
            }
        }
    });

    private static async Task<ProtocolNetwork> StartAsync()
    {
        var mesh = await CapturedMesh.StartAsync();
        try
        {
            var client = mesh.AddAsync("client", "client");
            var servers = mesh.AddAsync("servers", "servers", new CaptureShape { Ports = [.. PlayedPorts.All.Select(p => p.Said)] });
            var web = mesh.AddAsync("web", "web", new CaptureShape { Ports = ["8080:http:web", "8081::odd"] });
            await Task.WhenAll(client, servers, web);
            var outside = mesh.Network.Add("outside", lan: 1);
            var network = new ProtocolNetwork(mesh, await client, await servers, await web, outside, (await servers).Host.Own(new PlayedPorts((await servers).Host)));
            foreach (var port in (string[])["8080", "8081"]) await network.Web.Host.ServeAsync("serving", CapturedShop.Python, CapturedMesh.Script("app.py"), "app", port);
            return network;
        }
        catch
        {
            await mesh.DisposeAsync();
            throw;
        }
    }
}

/// <summary>The machines.</summary>
internal sealed record ProtocolNetwork(CapturedMesh Mesh, CapturedWorkload Client, CapturedWorkload Servers, CapturedWorkload Web, NetworkHost Outside, PlayedPorts Played)
{
    private readonly ConcurrentDictionary<string, Lazy<Task<CapturedWorkload>>> more = new(StringComparer.Ordinal);

    private readonly ConcurrentDictionary<string, Lazy<Task<(CapturedWorkload, PlayedPorts)>>> odd = new(StringComparer.Ordinal);

    /// <summary>An address as URLs have it.</summary>
    public static string InUrl(string address) => address.Contains(':', StringComparison.Ordinal) ? $"[{address}]" : address;

    /// <summary>A machine with a server of its own, made when it is first asked for: a service of that name with these ports.</summary>
    public async Task<CapturedWorkload> ServerAsync(string name, string[] ports, Func<NetworkHost, Task> start) => await more.GetOrAdd(name, _ => new Lazy<Task<CapturedWorkload>>(async () =>
    {
        var made = await Mesh.AddAsync(name, name, new CaptureShape { Ports = ports });
        await start(made.Host);
        return made;
    })).Value;

    /// <summary>A machine whose inbound traffic comes by TPROXY: a web application, and a port of undeclared protocol that the tests play.</summary>
    public Task<(CapturedWorkload Workload, PlayedPorts Played)> TransparentAsync(string backend = "nft") => OddAsync(backend == "nft" ? "shown" : "shown-tables", "tproxy", backend);

    /// <summary>The same with REDIRECT by rules of iptables.</summary>
    public Task<(CapturedWorkload Workload, PlayedPorts Played)> TablesAsync() => OddAsync("tables", "redirect", "iptables");

    private Task<(CapturedWorkload, PlayedPorts)> OddAsync(string name, string mode, string backend) => odd.GetOrAdd(name, _ => new Lazy<Task<(CapturedWorkload, PlayedPorts)>>(async () =>
    {
        var made = await Mesh.AddAsync(name, name, new CaptureShape { Mode = mode, Backend = backend, Ports = ["8080:http:web", "7001::raw-odd"] });
        await made.Host.ServeAsync("serving", CapturedShop.Python, CapturedMesh.Script("app.py"), "app", "8080");
        return (made, made.Host.Own(new PlayedPorts(made.Host)));
    })).Value;

    /// <summary>What leads the client to a service: its name, its virtual addresses, its instance's own.</summary>
    public async Task<IReadOnlyList<string>> WaysAsync(string service)
    {
        var server = Mesh.Workloads.Single(w => w.Host.Name == service);
        await CapturedMesh.KnowsAsync(Client, server);
        var (v4, v6) = await CapturedMesh.AddressesAsync(Client, service);
        return [service, v4, v6, server.Address];
    }
}

/// <summary>Lets test classes share the machines.</summary>
[CollectionDefinition(ProtocolMachines.Group)]
public sealed class ProtocolMachinesGroup : ICollectionFixture<ProtocolMachines>;
