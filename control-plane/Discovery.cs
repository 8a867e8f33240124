using Mesh.Api.Logging;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Sources;
using Mesh.ControlPlane.Sources.Consul;
using Mesh.ControlPlane.Sources.Workloads;
using Microsoft.AspNetCore.Routing;

namespace Mesh.ControlPlane;

/// <summary>
/// Everything about services and instances: what Consul (or the built-in registry) knows, and the workloads that register themselves.
/// Owned by <see cref="ControlPlaneProgram"/>.
/// </summary>
internal sealed class Discovery : IDisposable
{
    private readonly WorkloadRegistrations registrations;
    private readonly WorkloadEndpoint endpoint;
    private readonly ConsulClient? client;
    private readonly ConsulSource? source;

    /// <summary>Opens no connection yet.</summary>
    public Discovery(Options options, Uri? registry, WorldStore store, TimeProvider time, Log log)
    {
        var withdrawn = new WithdrawnWorkloads(options.ReplicaId, time);
        var workloads = new WorkloadOptions { Grace = options.Grace };
        registrations = new WorkloadRegistrations(store, withdrawn, workloads, time, log);
        endpoint = new WorkloadEndpoint(registrations, workloads, options.ReplicaId, time);
        if (registry is null) return;
        client = new ConsulClient(
            new ConsulOptions
            {
                Address = registry,
                Token = options.ConsulToken,
                TokenFile = options.ConsulTokenFile,
                Datacenter = options.ConsulDatacenter,
                CaFile = options.ConsulCaFile,
            },
            time);
        source = new ConsulSource(client, store, withdrawn, new ConsulSourceOptions(), new SourceClock(time, new Random()), log);
    }

    /// <summary>Completes when the first world holds every service in use.</summary>
    public Task Synced => source?.Synced ?? Task.CompletedTask;

    /// <summary>What operators see of it.</summary>
    public object Status => new
    {
        Synced = Synced.IsCompletedSuccessfully,
        StalenessSeconds = source?.Staleness.TotalSeconds,
        Workloads = registrations.Count() is var (connected, inGrace) ? new { connected, inGrace } : null,
    };

    /// <summary>Adds the registration of workloads to the application that serves xDS.</summary>
    public void Map(IEndpointRouteBuilder endpoints) => endpoint.Map(endpoints);

    /// <summary>Runs until <paramref name="stop"/>.</summary>
    public Task RunAsync(CancellationToken stop) => source?.RunAsync(stop) ?? Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, stop);

    /// <summary>Ends the streams of workloads; they stay registered, for the next control plane to find.</summary>
    public void Close() => registrations.Close();

    /// <inheritdoc/>
    public void Dispose()
    {
        registrations.Dispose();
        source?.Dispose();
        client?.Dispose();
    }
}
