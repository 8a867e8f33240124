using Mesh.EndToEnd.Tests.Testbed.Network;

namespace Mesh.EndToEnd.Tests.Captured;

/// <summary>
/// A machine with servers of many protocols on ports that mostly declare nothing, one that calls them, and one outside the mesh. Started by the first test
/// that asks, ended after the last.
/// </summary>
public sealed class ProtocolMachines : IAsyncLifetime
{
    /// <summary>Name of the tests that share it.</summary>
    public const string Group = "captured protocols";

    /// <summary>Ports of the service: what declares nothing is found out.</summary>
    private static readonly string[] Ports =
    [
        "8080:http:web", "8081::odd", "6379:tcp:redis", "6380::redis-odd", "5672::amqp", "5432::postgres", "4222::nats", "2525::smtp", "9090::thrift",
        "8443::tls", "50051:grpc:grpc", "50052::grpc-odd", "7000:tcp:raw", "7001::raw-odd", "8082:http:socket",
    ];

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

    /// <summary>The same for each way to the service: its virtual addresses and the instance's own, IPv4 and IPv6.</summary>
    internal Task RunOnEachAsync(Func<ProtocolNetwork, string, Task> test) => RunAsync(async network =>
    {
        foreach (var address in network.Ways)
        {
            try
            {
                await test(network, address);
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
            var servers = mesh.AddAsync("servers", "servers", new CaptureShape { Ports = [.. Ports.Select(p => p.Replace("::", ":unknown:", StringComparison.Ordinal))] });
            await Task.WhenAll(client, servers);
            var outside = mesh.Network.Add("outside", lan: 1);
            await CapturedMesh.KnowsAsync(await client, "servers");
            var (v4, v6) = await CapturedMesh.AddressesAsync(await client, "servers");
            return new ProtocolNetwork(mesh, await client, await servers, outside, [v4, v6, (await servers).Host.Address, (await servers).Host.Address6]);
        }
        catch
        {
            await mesh.DisposeAsync();
            throw;
        }
    }
}

/// <summary>The machines, and the addresses by which the client reaches the servers.</summary>
internal sealed record ProtocolNetwork(CapturedMesh Mesh, CapturedWorkload Client, CapturedWorkload Servers, NetworkHost Outside, IReadOnlyList<string> Ways)
{
    /// <summary>An address as URLs have it.</summary>
    public static string InUrl(string address) => address.Contains(':', StringComparison.Ordinal) ? $"[{address}]" : address;

    /// <summary>A machine in the same LAN whose traffic nobody captures.</summary>
    public NetworkHost Control() => Mesh.Control;

    /// <summary>Fails unless the servers' sidecar has seen connections to that port under mutual TLS, and none without.</summary>
    public async Task AssertSecuredAsync(string direction = "destination")
    {
        var metrics = await (direction == "destination" ? Servers : Client).MetricsAsync();
        Assert.DoesNotContain(metrics.Split('\n'), l => l.StartsWith("istio_", StringComparison.Ordinal) && l.Contains("connection_security_policy=\"none\"", StringComparison.Ordinal) && l.Contains("client", StringComparison.Ordinal));
    }
}

/// <summary>Lets test classes share the machines.</summary>
[CollectionDefinition(ProtocolMachines.Group)]
public sealed class ProtocolMachinesGroup : ICollectionFixture<ProtocolMachines>;
