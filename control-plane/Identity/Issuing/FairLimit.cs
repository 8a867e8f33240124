namespace Mesh.ControlPlane.Identity.Issuing;

/// <summary>
/// A rate for all callers together, of which one caller gets a part: who asks too much is refused before he takes what the others need. Callers
/// that have not asked for a while are forgotten; the number remembered is bounded. Thread safe.
/// </summary>
/// <param name="perSecond">For all: so many a second.</param>
/// <param name="burst">For all: so many at once.</param>
/// <param name="ofOne">One caller's part of <paramref name="perSecond"/>.</param>
/// <param name="time">The clock.</param>
internal sealed class FairLimit(double perSecond, int burst, double ofOne, TimeProvider time)
{
    /// <summary>Callers remembered at most; beyond that new ones share what is for all.</summary>
    public const int MostCallers = 10_000;

    private readonly RateLimit all = new(perSecond, burst, time);
    private readonly Lock gate = new();
    private readonly Dictionary<string, RateLimit> callers = new(StringComparer.Ordinal);
    private long? lookedThrough;

    /// <summary>How many callers are remembered.</summary>
    public int Callers
    {
        get
        {
            lock (gate) return callers.Count;
        }
    }

    /// <summary>Takes one for a caller; false when he or all together asked too much.</summary>
    public bool TryTake(string caller) => Of(caller)?.TryTake() != false && all.TryTake();

    private RateLimit? Of(string caller)
    {
        lock (gate)
        {
            if (callers.TryGetValue(caller, out var known)) return known;
            if (callers.Count >= MostCallers) Forget();
            return callers.Count < MostCallers ? callers[caller] = new RateLimit(ofOne, burst, time) : null;
        }
    }

    /// <summary>Forgets who has not asked for a while. Once a second at most: else each of very many new callers would cost a look at all.</summary>
    private void Forget()
    {
        if (lookedThrough is { } last && time.GetElapsedTime(last) < TimeSpan.FromSeconds(1)) return;
        lookedThrough = time.GetTimestamp();
        foreach (var (name, limit) in callers)
        {
            if (limit.IsFull) callers.Remove(name);
        }
    }
}
