namespace Mesh.ControlPlane.Sources;

/// <summary>
/// Runs an action at once when it is quiet and at most once each spacing in a burst; the last signal is never lost.
/// Thread safe: runs are serialised. The action must not signal it again.
/// </summary>
internal sealed class Coalescer : IDisposable
{
    private readonly Lock gate = new();
    private readonly Action act;
    private readonly TimeSpan spacing;
    private readonly TimeProvider time;
    private readonly ITimer timer;
    private long? last;
    private bool pending;
    private bool ended;

    public Coalescer(Action act, TimeSpan spacing, TimeProvider time)
    {
        (this.act, this.spacing, this.time) = (act, spacing, time);
        timer = time.CreateTimer(static self => ((Coalescer)self!).Run(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Something changed.</summary>
    public void Signal()
    {
        lock (gate)
        {
            if (pending || ended) return;
            var wait = last is { } before ? spacing - time.GetElapsedTime(before) : TimeSpan.Zero;
            pending = true;
            if (wait <= TimeSpan.Zero) Run();
            else timer.Change(wait, Timeout.InfiniteTimeSpan);
        }
    }

    /// <summary>Runs now, whatever the spacing.</summary>
    public void Flush()
    {
        lock (gate)
        {
            pending = true;
            Run();
        }
    }

    public void Dispose()
    {
        lock (gate) ended = true;
        timer.Dispose();
    }

    private void Run()
    {
        lock (gate)
        {
            if (!pending || ended) return;
            pending = false;
            last = time.GetTimestamp();
            act();
        }
    }
}
