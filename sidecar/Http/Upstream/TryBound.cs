namespace Mesh.Sidecar.Http.Upstream;

/// <summary>
/// The bound of one try: when it passes, what runs (connecting, or the call) is aborted; after disposal never. Owned by the try; the timer
/// runs on any thread.
/// </summary>
internal sealed class TryBound : IDisposable
{
    private readonly Lock gate = new();
    private readonly ITimer timer;
    private object? running;
    private bool fired;

    /// <summary>Starts the clock.</summary>
    public TryBound(TimeSpan bound, TimeProvider time) =>
        timer = time.CreateTimer(static state => ((TryBound)state!).Fire(), this, bound, Timeout.InfiniteTimeSpan);

    /// <summary>True when the time is over.</summary>
    public bool Fired
    {
        get { lock (gate) return fired; }
    }

    /// <summary>Says what runs now.</summary>
    public void Now(object runs)
    {
        lock (gate)
        {
            running = runs;
            if (fired) Abort();
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (gate) running = null;
        timer.Dispose();
    }

    private void Fire()
    {
        lock (gate)
        {
            fired = true;
            Abort();
        }
    }

    private void Abort()
    {
        if (running is IUpstreamCall call) call.Abort();
        else if (running is CancellationTokenSource connecting) connecting.Cancel();
    }
}
