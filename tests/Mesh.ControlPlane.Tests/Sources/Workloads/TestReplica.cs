using System.Net;
using Mesh.Api.Grpc;
using Mesh.Api.Logging;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Sources;
using Mesh.ControlPlane.Sources.Consul;
using Mesh.ControlPlane.Sources.Workloads;
using Mesh.Tests;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging;

namespace Mesh.ControlPlane.Tests.Sources.Workloads;

/// <summary>The part of a control plane that deals with the registry, with its gRPC port. Graceful stop by <see cref="DisposeAsync"/>.</summary>
internal sealed class TestReplica : IAsyncDisposable
{
    private readonly CancellationTokenSource stop = new();
    private readonly Mesh.ControlPlane.Sources.Discovery discovery;
    private readonly WebApplication app;
    private readonly Task running;
    private bool disposed;

    private TestReplica(ConsulOptions registry, string name, WorkloadOptions options, TimeSpan emptyHold)
    {
        Name = name;
        var source = new ConsulSourceOptions
        {
            EmptyHold = emptyHold,
            PollPeriod = TimeSpan.FromMilliseconds(200),
            Query = new BlockingQueryOptions { Backoff = new Backoff(TimeSpan.FromMilliseconds(50), TimeSpan.FromMilliseconds(200)) },
        };
        discovery = new Mesh.ControlPlane.Sources.Discovery(
            new DiscoveryOptions(registry, name) { Source = source, Workloads = options },
            Store, new SourceClock(TimeProvider.System, new Random(1)), Log.To(Output, Level.Debug, TimeProvider.System));
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            GrpcKestrel.Configure(kestrel);
            kestrel.Listen(IPAddress.Loopback, 0, listen => listen.Protocols = HttpProtocols.Http2);
        });
        app = builder.Build();
        TestCaller.Use(app);
        discovery.Workloads.Map(app);
        running = discovery.RunAsync(stop.Token);
    }

    public static WorkloadOptions Fast => new()
    {
        Grace = TimeSpan.FromSeconds(1),
        OrphanGrace = TimeSpan.FromSeconds(1),
        CollectPeriod = TimeSpan.FromMilliseconds(200),
        ReconcilePeriod = TimeSpan.FromSeconds(60),
        SessionTtl = TimeSpan.FromSeconds(10),
        RenewPeriod = TimeSpan.FromMilliseconds(400),
        // A busy machine is no reason for PENDING; a registry that fails is one at once.
        AckPatience = TimeSpan.FromSeconds(15),
        RegisterWithin = TimeSpan.FromSeconds(60),
        Backoff = new Backoff(TimeSpan.FromMilliseconds(50), TimeSpan.FromMilliseconds(300)),
    };

    public string Name { get; }

    public LogLines Output { get; } = new();

    public WorldStore Store { get; } = new();

    public ConsulSource Source => discovery.Source;

    public string Address => app.Urls.First();

    /// <summary>Instances of a service in the world, with their health when it is not passing.</summary>
    public string[] Ids(string service) =>
        [.. Store.Current.Instances.Values.Where(i => i.Service == service).OrderBy(i => i.Id, StringComparer.Ordinal).Select(i => i.Health == InstanceHealth.Passing ? i.Id : $"{i.Id}:{i.Health}")];

    public static Task<TestReplica> StartAsync(TestRegistry registry, string name, WorkloadOptions? options = null, TimeSpan? emptyHold = null) =>
        StartAsync(new ConsulOptions { Address = registry.Address }, name, options, emptyHold);

    public static async Task<TestReplica> StartAsync(ConsulOptions registry, string name, WorkloadOptions? options = null, TimeSpan? emptyHold = null)
    {
        var replica = new TestReplica(registry, name, options ?? Fast, emptyHold ?? TimeSpan.FromSeconds(1));
        await replica.app.StartAsync();
        return replica;
    }

    public Task HasAsync(string service, params string[] ids) =>
        Eventually.TrueAsync(() => Ids(service).SequenceEqual(ids), () => $"expected [{string.Join(' ', ids)}], is [{string.Join(' ', Ids(service))}]\n{Output}");

    /// <summary>Waits until its world has not changed for a while: what it heard of the registry is in.</summary>
    public async Task SettlesAsync()
    {
        long before;
        do
        {
            before = Store.Current.Version;
            await Task.Delay(500);
        }
        while (Store.Current.Version != before);
    }

    public async ValueTask DisposeAsync()
    {
        if (disposed) return;
        disposed = true;
        await stop.CancelAsync();
        await running.WaitAsync(TimeSpan.FromSeconds(20));
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(1));
        await app.StopAsync(patience.Token);
        await app.DisposeAsync();
        discovery.Dispose();
        stop.Dispose();
    }
}
