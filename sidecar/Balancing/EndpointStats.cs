using Mesh.Sidecar.Identity;
using Mesh.Sidecar.Resilience;

namespace Mesh.Sidecar.Balancing;

/// <summary>
/// Live state of one address in one cluster, shared by all snapshots that contain it (kept by cluster name and authority).
/// Thread safe: plain atomics, no locks.
/// </summary>
public sealed class EndpointStats
{
    private static readonly TimeSpan FirstEjection = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LongestEjection = TimeSpan.FromSeconds(30);
    private int active;
    private int refusals;
    private long ejectedUntil;
    private object? connections;
    private PeerIdentity? proven;
    private Turns? turns;

    /// <summary>True when no later request will find this object: nothing that hangs on it needs keeping.</summary>
    public bool Passing { get; init; }

    /// <summary>Who answered the last handshake with the address, for labels; null when none did.</summary>
    internal PeerIdentity? Proven
    {
        get => Volatile.Read(ref proven);
        set => Volatile.Write(ref proven, value);
    }

    /// <summary>Whose turn it is to shake hands with the address; made on first use.</summary>
    internal Turns Turns => Volatile.Read(ref turns) ?? Interlocked.CompareExchange(ref turns, new Turns(), null) ?? turns;

    /// <summary>Requests in flight.</summary>
    public int Active => Volatile.Read(ref active);

    /// <summary>Marks a request as begun.</summary>
    public void Begin() => Interlocked.Increment(ref active);

    /// <summary>Marks a request as ended.</summary>
    public void End() => Interlocked.Decrement(ref active);

    /// <summary><see cref="TimeProvider.GetTimestamp"/> until which the address gets nothing; 0 when it is in.</summary>
    public long EjectedUntil
    {
        get => Volatile.Read(ref ejectedUntil);
        set => Volatile.Write(ref ejectedUntil, value);
    }

    /// <summary>
    /// The address refused a connection: it gets nothing for a second, doubling with each refusal in a row to half a minute.
    /// A refusal while it is out already (a request that was under way) does not count again. True when this put it out.
    /// </summary>
    public bool Refused(TimeProvider time, Randomness random)
    {
        var now = time.GetTimestamp();
        var until = EjectedUntil;
        if (until > now) return false;
        var step = Interlocked.Increment(ref refusals);
        var wait = Backoff.Doubling(step, FirstEjection, LongestEjection, random);
        var next = now + (long)(wait.TotalSeconds * time.TimestampFrequency);
        return Interlocked.CompareExchange(ref ejectedUntil, next, until) == until;
    }

    /// <summary>The address took a connection: it is in, and the next refusal counts as the first.</summary>
    public void Accepted()
    {
        if (Volatile.Read(ref refusals) == 0) return;
        Volatile.Write(ref refusals, 0);
        EjectedUntil = 0;
    }

    /// <summary>
    /// What the HTTP layer keeps per address, its connections: made on first use, so that a request finds them without a lookup.
    /// </summary>
    public T Connections<T>(Func<EndpointStats, T> make)
        where T : class
    {
        if (Volatile.Read(ref connections) is T ready) return ready;
        var made = make(this);
        return Interlocked.CompareExchange(ref connections, made, null) as T ?? made;
    }
}
