using System.Collections.Concurrent;
using Mesh.Api.Logging;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Sources;
using Mesh.ControlPlane.Sources.Consul;
using Mesh.Tests;

namespace Mesh.ControlPlane.Tests.Sources.Consul;

/// <summary>A running <see cref="ConsulSource"/> with its world, for one test.</summary>
internal sealed class RunningSource : IAsyncDisposable
{
    private readonly CancellationTokenSource stop = new();
    private readonly Task running;

    public RunningSource(Uri address, ConsulSourceOptions? options = null, ConsulOptions? consul = null, WorldStore? store = null)
    {
        Store = store ?? new WorldStore();
        Store.Changed += Worlds.Enqueue;
        var clock = new SourceClock(TimeProvider.System, new Random(1));
        Client = new ConsulClient(consul ?? new ConsulOptions { Address = address }, TimeProvider.System);
        Source = new ConsulSource(Client, Store, Withdrawn, options ?? Fast, clock, Log.To(Output, Level.Debug, TimeProvider.System));
        running = Source.RunAsync(stop.Token);
    }

    public static ConsulSourceOptions Fast => new()
    {
        StartJitter = TimeSpan.FromMilliseconds(5),
        PollPeriod = TimeSpan.FromMilliseconds(100),
        EmptyHold = TimeSpan.FromMilliseconds(400),
        Query = new BlockingQueryOptions { Backoff = new Backoff(TimeSpan.FromMilliseconds(10), TimeSpan.FromMilliseconds(50)), PollPeriod = TimeSpan.FromMilliseconds(50) },
    };

    public LogLines Output { get; } = new();

    public WorldStore Store { get; }

    /// <summary>Every world there was, in order: for what holds for a moment only.</summary>
    public ConcurrentQueue<World> Worlds { get; } = new();

    public WithdrawnWorkloads Withdrawn { get; } = new("r1", TimeProvider.System);

    public ConsulClient Client { get; }

    public ConsulSource Source { get; }

    /// <summary>Ids of the instances in the world, with their health when it is not passing.</summary>
    public string[] Ids => IdsOf(Store.Current);

    public static string[] IdsOf(World world) =>
        [.. world.Instances.Values.OrderBy(i => i.Id, StringComparer.Ordinal).Select(i => i.Health == InstanceHealth.Passing ? i.Id : $"{i.Id}:{i.Health}")];

    /// <summary>Waits until there was a world with exactly these instances; there may be another one already.</summary>
    public Task HadAsync(params string[] ids) => Eventually.TrueAsync(() => Worlds.Any(w => IdsOf(w).SequenceEqual(ids)), () => $"expected [{string.Join(' ', ids)}] at some time\n{Output}");

    /// <summary>Waits until the world holds exactly these instances.</summary>
    public Task HasAsync(params string[] ids) => Eventually.TrueAsync(() => Ids.SequenceEqual(ids), () => $"expected [{string.Join(' ', ids)}], is [{string.Join(' ', Ids)}]\n{Output}");

    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        await running.WaitAsync(TimeSpan.FromSeconds(60));
        Source.Dispose();
        Client.Dispose();
        stop.Dispose();
    }
}
