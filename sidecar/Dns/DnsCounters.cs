namespace Mesh.Sidecar.Dns;

/// <summary>What can become of a query.</summary>
internal enum DnsOutcome
{
    /// <summary>A name of the mesh, with addresses.</summary>
    Mesh,

    /// <summary>A name of the mesh that has nothing of the type asked for.</summary>
    MeshNothing,

    /// <summary>Answered by the machine's resolvers.</summary>
    Forwarded,

    /// <summary>None of the machine's resolvers answered.</summary>
    Unanswered,

    /// <summary>Before a first table: it may be the mesh's name.</summary>
    Unknown,

    /// <summary>It was our own query.</summary>
    Loop,

    /// <summary>As many as may be were on their way.</summary>
    OverLimit,

    /// <summary>No message of DNS, or one nobody here answers.</summary>
    Malformed,

    /// <summary>Not answered at all: too short, or itself an answer.</summary>
    Dropped,

    /// <summary>An answer to what was not asked: not passed on.</summary>
    Forged,

    /// <summary>A fault of ours.</summary>
    Fault,
}

/// <summary>How often what became of queries. Thread safe.</summary>
internal sealed class DnsCounters
{
    private readonly long[] counts = new long[Enum.GetValues<DnsOutcome>().Length];
    private long inFlight;

    /// <summary>Queries that wait for the machine's resolvers.</summary>
    public long InFlight => Volatile.Read(ref inFlight);

    /// <summary>Adds one.</summary>
    public void Add(DnsOutcome outcome) => Interlocked.Increment(ref counts[(int)outcome]);

    /// <summary>How often something happened.</summary>
    public long this[DnsOutcome outcome] => Volatile.Read(ref counts[(int)outcome]);

    /// <summary>One more, or fewer, waits.</summary>
    public void Wait(int change) => Interlocked.Add(ref inFlight, change);
}
