using System.Security.Cryptography;
using Mesh.Api.Logging;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Sources.Consul;
using Mesh.ControlPlane.Sources.Workloads;

namespace Mesh.ControlPlane.Sources;

/// <summary>What <see cref="Discovery"/> is told by the command line. Immutable.</summary>
/// <param name="Consul">The registry: Consul, or the built-in one at its own address.</param>
/// <param name="Replica">Name of this control plane among those that share the registry, for people.</param>
internal sealed record DiscoveryOptions(ConsulOptions Consul, string Replica)
{
    /// <summary>
    /// The name by which this run of this control plane owns entries. Each run has its own: two that were given one name by mistake do not take
    /// each other's entries for what they left behind, and what a run before left is told from what this one wrote.
    /// </summary>
    public string Owner { get; } = $"{Replica}-{RandomNumberGenerator.GetHexString(6, lowercase: true)}";

    /// <summary>How services are followed.</summary>
    public ConsulSourceOptions Source { get; init; } = new();

    /// <summary>Done when the rules that say who may serve what were read.</summary>
    public Task RulesRead { get; init; } = Task.CompletedTask;

    /// <summary>The key of proofs of addresses, which all control planes of the mesh share.</summary>
    public ReadOnlyMemory<byte> AddressKey { get; init; } = RandomNumberGenerator.GetBytes(32);

    /// <summary>How registered workloads are kept.</summary>
    public WorkloadOptions Workloads { get; init; } = new();
}

/// <summary>
/// Everything between this control plane and its registry, put together: services are read from it into the world, workloads that
/// register here are in the world at once and written into it. Start <see cref="RunAsync"/> once; it ends all streams and loops when stopped.
/// </summary>
internal sealed class Discovery : IDisposable
{
    private readonly ConsulClient client;
    private readonly WorkloadRegistrations registrations;
    private readonly KeeperEvents events;
    private readonly WorkloadRegistry registry;
    private readonly RegistrationGate gate;

    /// <summary>Opens no connection yet.</summary>
    /// <exception cref="IOException">The CA file cannot be read.</exception>
    public Discovery(DiscoveryOptions options, WorldStore store, SourceClock clock, Log log)
    {
        client = new ConsulClient(options.Consul, clock.Time);
        var withdrawn = new WithdrawnWorkloads(options.Owner, clock.Time);
        Source = new ConsulSource(client, store, withdrawn, options.Source, clock, log);
        registrations = new WorkloadRegistrations(store, withdrawn, options.Workloads, clock.Time, log);
        events = new KeeperEvents(registrations, log.For("registry"));
        var context = new WorkloadContext(options.Workloads, clock, log.For("registry"), events);
        registry = new WorkloadRegistry(client, Source, registrations, options.Owner, context);
        gate = new RegistrationGate(store, new AddressProofs(options.AddressKey, clock.Time), options.RulesRead, log.For("workloads"));
        Workloads = new WorkloadEndpoint(registrations, gate, options.Workloads, options.Replica, clock.Time);
    }

    /// <summary>Reads services. Wait for its <see cref="ConsulSource.Synced"/> before nodes are told what the world is.</summary>
    public ConsulSource Source { get; }

    /// <summary>Serves registration; map it on the port of xDS.</summary>
    public WorkloadEndpoint Workloads { get; }

    /// <summary>Runs until <paramref name="stop"/>.</summary>
    public Task RunAsync(CancellationToken stop) => Loops.RunAsync(stop, Source.RunAsync, registry.RunAsync);

    /// <inheritdoc/>
    public void Dispose()
    {
        registry.Dispose();
        gate.Dispose();
        events.Dispose();
        registrations.Dispose();
        Source.Dispose();
        client.Dispose();
    }
}
