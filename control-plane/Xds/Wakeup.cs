namespace Mesh.ControlPlane.Xds;

/// <summary>Wakes one loop; wakes that come while it works are one. Thread safe; for one waiter.</summary>
internal sealed class Wakeup : IDisposable
{
    private readonly SemaphoreSlim signal = new(0, 1);

    /// <summary>Wakes the loop, now or when it next waits.</summary>
    public void Set()
    {
        try
        {
            signal.Release();
        }
        catch (SemaphoreFullException)
        {
            // It will wake already.
        }
        catch (ObjectDisposedException)
        {
            // The loop has ended.
        }
    }

    /// <summary>Waits for a wake; false when <paramref name="most"/> passed without one. Infinite is allowed.</summary>
    public async Task<bool> WaitAsync(TimeSpan most, TimeProvider time, CancellationToken cancellation)
    {
        if (most == Timeout.InfiniteTimeSpan)
        {
            await signal.WaitAsync(cancellation);
            return true;
        }

        if (signal.Wait(0, cancellation)) return true;
        if (most <= TimeSpan.Zero) return false;
        using var over = new CancellationTokenSource(most, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(over.Token, cancellation);
        try
        {
            await signal.WaitAsync(either.Token);
            return true;
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            return false;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => signal.Dispose();
}
