namespace Mesh.Sidecar;

/// <summary>
/// Gives memory back after a burst: when nothing was collected for a while, which means that almost nothing ran, one full collection returns
/// what the burst had needed. Never under load. One loop, started and awaited by Program.
/// </summary>
internal sealed class MemoryTrim(TimeProvider time)
{
    private static readonly TimeSpan LookEvery = TimeSpan.FromSeconds(15);

    /// <summary>Runs until cancelled.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        var (seen, trimmed) = (GC.CollectionCount(0), 0);
        while (!stop.IsCancellationRequested)
        {
            await Task.Delay(LookEvery, time, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            var now = GC.CollectionCount(0);
            if (now == seen && now != trimmed)
            {
                GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
                now = trimmed = GC.CollectionCount(0);
            }

            seen = now;
        }
    }
}
