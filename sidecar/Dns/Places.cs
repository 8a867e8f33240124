namespace Mesh.Sidecar.Dns;

/// <summary>
/// A number of places for work, and of those that may wait for one; and when all have left again. What comes takes a place or a seat to wait by
/// <see cref="TryTake"/>, is let in by <see cref="EnterAsync"/> where there are seats, and leaves by <see cref="Return"/>. Thread safe.
/// </summary>
internal sealed class Places(int most, int seats = 0)
{
    private readonly Lock gate = new();
    private readonly SemaphoreSlim inside = new(most);
    private TaskCompletionSource? empty;
    private int taken;

    /// <summary>Takes a place, or a seat; false when there is neither.</summary>
    public bool TryTake()
    {
        lock (gate)
        {
            if (taken == most + seats || empty is not null) return false;
            taken++;
            return true;
        }
    }

    /// <summary>Waits for a place, in turn; false when there is none in time. Who was let in calls <see cref="Exit"/>.</summary>
    public async Task<bool> EnterAsync(CancellationToken late)
    {
        var turn = inside.WaitAsync(late);
        await turn.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return turn.IsCompletedSuccessfully;
    }

    /// <summary>Makes room for who waits.</summary>
    public void Exit() => inside.Release();

    /// <summary>Gives place or seat back.</summary>
    public void Return()
    {
        lock (gate)
        {
            if (--taken == 0) empty?.TrySetResult();
        }
    }

    /// <summary>Lets nobody in any more; completes when the last has left.</summary>
    public Task CloseAsync()
    {
        lock (gate)
        {
            empty ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            if (taken == 0) empty.TrySetResult();
            return empty.Task;
        }
    }
}
