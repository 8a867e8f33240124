namespace Mesh.Sidecar.Resilience;

/// <summary>
/// How many retries may run at once beside the requests in flight: a share of them, and always a few. So a failing
/// service sees at most a fifth more load, never a multiple. Thread safe: plain atomics.
/// </summary>
public sealed class RetryBudget
{
    /// <summary>The share of the requests in flight that may be retries.</summary>
    public const int Percent = 20;

    /// <summary>The retries that may always run.</summary>
    public const int AtLeast = 3;

    private int requests;
    private int retries;

    /// <summary>Requests in flight.</summary>
    public int Requests => Volatile.Read(ref requests);

    /// <summary>Retries in flight.</summary>
    public int Retries => Volatile.Read(ref retries);

    /// <summary>A request begins.</summary>
    public void RequestBegins() => Interlocked.Increment(ref requests);

    /// <summary>A request, with all its tries, ended.</summary>
    public void RequestEnds() => Interlocked.Decrement(ref requests);

    /// <summary>Takes a retry when the budget has one; each taken one must be given back by <see cref="RetryEnds"/>.</summary>
    public bool TryRetry()
    {
        var allowed = Math.Max(AtLeast, Requests * Percent / 100);
        if (Interlocked.Increment(ref retries) <= allowed) return true;
        Interlocked.Decrement(ref retries);
        return false;
    }

    /// <summary>A retry ended.</summary>
    public void RetryEnds() => Interlocked.Decrement(ref retries);
}
