namespace Mesh.Sidecar.Dns;

/// <summary>A number of places that work may take; and when all are empty again. Thread safe.</summary>
internal sealed class Places(int most)
{
    private readonly Lock gate = new();
    private TaskCompletionSource? empty;
    private int taken;

    /// <summary>Takes a place; false when there is none.</summary>
    public bool TryTake()
    {
        lock (gate)
        {
            if (taken == most || empty is not null) return false;
            taken++;
            return true;
        }
    }

    /// <summary>Gives it back.</summary>
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
