namespace Mesh.Sidecar.Http.Upstream;

/// <summary>The bound of one try: when it passes, what runs (connecting, or the call) is aborted. Owned by the try; the timer runs on any thread.</summary>
internal sealed class TryBound : IDisposable
{
    private readonly ITimer timer;
    private object? running;
    private volatile bool fired;

    /// <summary>Starts the clock.</summary>
    public TryBound(TimeSpan bound, TimeProvider time) =>
        timer = time.CreateTimer(static state => ((TryBound)state!).Fire(), this, bound, Timeout.InfiniteTimeSpan);

    /// <summary>True when the time is over.</summary>
    public bool Fired => fired;

    /// <summary>Says what runs now.</summary>
    public void Now(object runs)
    {
        Volatile.Write(ref running, runs);
        Interlocked.MemoryBarrier();
        if (fired) Abort(runs);
    }

    /// <inheritdoc/>
    public void Dispose() => timer.Dispose();

    private static void Abort(object? runs)
    {
        if (runs is IUpstreamCall call) call.Abort();
        else if (runs is CancellationTokenSource connecting) connecting.Cancel();
    }

    private void Fire()
    {
        fired = true;
        Interlocked.MemoryBarrier();
        Abort(Volatile.Read(ref running));
    }
}
