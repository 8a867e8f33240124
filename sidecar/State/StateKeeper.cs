using System.Threading.Channels;
using Mesh.Api.Logging;
using Mesh.Api.V1;

namespace Mesh.Sidecar.State;

/// <summary>
/// Writes the last good configuration soon after each change, and now and then while a control plane stands behind it, so that its age is known. A
/// disk that cannot take it costs nothing but that. One loop, run by its owner; <see cref="Signal"/> is safe from any thread and never waits.
/// </summary>
/// <param name="folder">Where to.</param>
/// <param name="take">What to keep, when it is asked for because of a change (true) or of the time; null for nothing now.</param>
/// <param name="time">The clock.</param>
/// <param name="log">The log.</param>
internal sealed class StateKeeper(StateFolder folder, Func<bool, KeptConfiguration?> take, TimeProvider time, Log log)
{
    /// <summary>How long after a change it is written: changes come in company.</summary>
    public static readonly TimeSpan Quiet = TimeSpan.FromMilliseconds(500);

    /// <summary>The least between two writes.</summary>
    public static readonly TimeSpan Spacing = TimeSpan.FromSeconds(5);

    /// <summary>How often it is written when nothing changes.</summary>
    public static readonly TimeSpan Refresh = TimeSpan.FromMinutes(10);

    private static readonly TimeSpan TryAgain = TimeSpan.FromMinutes(1);
    private readonly Channel<bool> changes = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });
    private int dirty;
    private bool failing;
    private long written;
    private long failures;

    /// <summary>Configurations written.</summary>
    public long Written => Volatile.Read(ref written);

    /// <summary>Attempts that failed.</summary>
    public long Failures => Volatile.Read(ref failures);

    /// <summary>Something changed.</summary>
    public void Signal()
    {
        Volatile.Write(ref dirty, 1);
        changes.Writer.TryWrite(true);
    }

    /// <summary>Keeps until cancelled; what changed last is kept then, too.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            await WaitAsync(failing ? TryAgain : Refresh, stop);
            if (Volatile.Read(ref dirty) == 1) await PauseAsync(Quiet, stop);
            Keep(TakeDirty());
            await PauseAsync(Spacing, stop);
        }

        if (TakeDirty()) Keep(true);
    }

    private async Task WaitAsync(TimeSpan atMost, CancellationToken stop)
    {
        using var bound = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var pause = Task.Delay(atMost, time, bound.Token);
        await Task.WhenAny(changes.Reader.WaitToReadAsync(bound.Token).AsTask(), pause);
        await bound.CancelAsync();
    }

    private Task PauseAsync(TimeSpan span, CancellationToken stop) =>
        Task.Delay(span, time, stop).ContinueWith(static _ => { }, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);

    private bool TakeDirty()
    {
        // In this order: what is signalled meanwhile is taken now or wakes again.
        changes.Reader.TryRead(out _);
        return Interlocked.Exchange(ref dirty, 0) == 1;
    }

    private void Keep(bool asChanged)
    {
        try
        {
            if (take(asChanged) is not { } kept) return;
            folder.Write(kept);
            Interlocked.Increment(ref written);
            if (failing) log.Info("the configuration is kept again");
            failing = false;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Interlocked.Increment(ref failures);
            // Still to be kept, also when no control plane is there by then.
            if (asChanged) Volatile.Write(ref dirty, 1);
            if (!failing) log.Error("the configuration cannot be kept: it serves, and a restart without a control plane will not have it", ("reason", e.Message));
            failing = true;
        }
    }
}
