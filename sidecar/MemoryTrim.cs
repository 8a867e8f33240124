using System.Runtime.InteropServices;

namespace Mesh.Sidecar;

/// <summary>
/// Gives memory back after a burst: when nothing was collected for a while, which means that almost nothing ran, one full collection returns
/// what the burst had needed, and the C library gives back what TLS connections had. Again when many connections have ended since: that collects
/// nothing by itself. Never under load. One loop, started and awaited by Program.
/// </summary>
internal sealed class MemoryTrim(TimeProvider time, Func<int> open, Func<int> collections)
{
    /// <summary>How often it looks.</summary>
    public static readonly TimeSpan LookEvery = TimeSpan.FromSeconds(15);
    private const int Many = 100;
    private int seen = collections();
    private int trimmed;
    private int most;

    /// <summary>Runs until cancelled.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            await Task.Delay(LookEvery, time, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            Look();
        }
    }

    /// <summary>One look; true when memory was given back.</summary>
    public bool Look()
    {
        var (now, connections) = (collections(), open());
        most = Math.Max(most, connections);
        var quiet = now == seen;
        seen = now;
        if (!quiet || (now == trimmed && most - connections < Math.Max(Many, most / 2))) return false;
        GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        TrimNative();
        seen = trimmed = collections();
        most = connections;
        return true;
    }

    /// <summary>The C library keeps what was freed between what is in use, until it is told. Not every one can be told.</summary>
    private static unsafe void TrimNative()
    {
        if (NativeLibrary.TryGetExport(NativeLibrary.GetMainProgramHandle(), "malloc_trim", out var trim)) ((delegate* unmanaged<nuint, int>)trim)(0);
    }
}
