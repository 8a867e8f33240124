using Mesh.Api.Logging;
using Mesh.ControlPlane.Compilation;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Xds;

/// <summary>
/// Turns the stream of worlds into compiled ones at a pace that suits nodes: it waits until changes pause, shortly when no cluster
/// comes or goes, and never long. Streams read <see cref="Current"/>. Thread safe; <see cref="RunAsync"/> is its one loop.
/// </summary>
internal sealed class ConfigFeed : IDisposable
{
    /// <summary>Services come and go in bursts: they are collected until nothing came for this long.</summary>
    public static readonly TimeSpan Quiet = TimeSpan.FromMilliseconds(50);

    /// <summary>
    /// The same when only endpoints or routes changed. Traffic goes to dead endpoints meanwhile, and the reader of rule files has
    /// already waited until they were quiet.
    /// </summary>
    public static readonly TimeSpan ShortQuiet = TimeSpan.FromMilliseconds(10);

    /// <summary>No change waits longer, however busy the sources are.</summary>
    public static readonly TimeSpan Longest = TimeSpan.FromSeconds(1);

    private readonly WorldStore store;
    private readonly TimeProvider time;
    private readonly Log log;
    private readonly Wakeup wakeup = new();
    private readonly TaskCompletionSource ready = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile Config? current;

    /// <summary>Listens to the store from now on.</summary>
    public ConfigFeed(WorldStore store, TimeProvider time, Log log)
    {
        (this.store, this.time, this.log) = (store, time, log);
        store.Changed += OnWorld;
    }

    /// <summary>Raised after <see cref="Current"/> changed. Handlers only signal.</summary>
    public event Action? Changed;

    /// <summary>The newest configuration; null until the first world is complete. Nodes that connect earlier wait for it.</summary>
    public Config? Current => current;

    /// <summary>Done when there is a first configuration.</summary>
    public Task Ready => ready.Task;

    /// <summary>Publishes the first configuration when <paramref name="complete"/> is, then each later one, until <paramref name="stop"/>.</summary>
    public async Task RunAsync(Task complete, CancellationToken stop)
    {
        await complete.WaitAsync(stop);
        for (var first = time.GetTimestamp(); ; first = await ChangeAsync(stop))
            TryPublish(first);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        store.Changed -= OnWorld;
        wakeup.Dispose();
    }

    private void OnWorld(World world) => wakeup.Set();

    /// <summary>Waits for a change and until changes pause; tells when the first of them was seen.</summary>
    private async Task<long> ChangeAsync(CancellationToken stop)
    {
        await wakeup.WaitAsync(Timeout.InfiniteTimeSpan, time, stop);
        var first = time.GetTimestamp();
        while (true)
        {
            var quiet = current is { } last && WorldDifference.KeepsClusters(last.Compiled.World, store.Current) ? ShortQuiet : Quiet;
            var left = Longest - time.GetElapsedTime(first);
            if (left <= TimeSpan.Zero || !await wakeup.WaitAsync(quiet < left ? quiet : left, time, stop)) return first;
        }
    }

    private void TryPublish(long since)
    {
        var world = store.Current;
        if (current is { } last && ReferenceEquals(last.Compiled.World, world)) return;
        try
        {
            current = new Config(CompiledWorld.From(world, current?.Compiled), since);
        }
        catch (Exception e)
        {
            // One world that breaks the compiler must not end all that follow: the last good one serves on.
            log.Error("a world cannot be compiled, which is a bug; the last one serves on", ("world", world.Version), ("error", e));
            return;
        }

        ready.TrySetResult();
        Changed?.Invoke();
    }

    /// <summary>A compiled world and when its first change was seen (a timestamp of the clock). Immutable.</summary>
    public sealed record Config(CompiledWorld Compiled, long Since);
}
