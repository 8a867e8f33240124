namespace Mesh.ControlPlane.Identity.Authority;

/// <summary>How long certificates live, and when their successors are made. Immutable.</summary>
internal sealed record Lifetimes
{
    /// <summary>The shortest life an operator may give to workloads' certificates: renewal needs time for a few attempts.</summary>
    public static readonly TimeSpan LeastLeaf = TimeSpan.FromMinutes(5);

    /// <summary>The longest: issuers live long enough for it.</summary>
    public static readonly TimeSpan MostLeaf = TimeSpan.FromDays(30);

    /// <summary>Certificates begin this long before they are made: clocks differ. Lives of less than five minutes, which only tests give, begin a fifth before.</summary>
    public static readonly TimeSpan Backdated = TimeSpan.FromSeconds(60);

    /// <summary>A workload's certificate.</summary>
    public TimeSpan Leaf { get; init; } = TimeSpan.FromHours(24);

    /// <summary>The least a workload is given, whatever it asks for.</summary>
    public TimeSpan ShortestLeaf { get; init; } = LeastLeaf;

    /// <summary>The issuing certificate.</summary>
    public TimeSpan Issuer { get; init; } = TimeSpan.FromDays(365);

    /// <summary>The root.</summary>
    public TimeSpan Root { get; init; } = TimeSpan.FromDays(3652);

    /// <summary>What a workload gets that asks for <paramref name="asked"/> (null or nothing: the default).</summary>
    public TimeSpan LeafFor(TimeSpan? asked)
    {
        if (asked is not { } wish || wish <= TimeSpan.Zero || wish > Leaf) return Leaf;
        return wish < ShortestLeaf ? Min(ShortestLeaf, Leaf) : wish;
    }

    /// <summary>When a certificate of this life begins that is made now.</summary>
    public static DateTimeOffset BeginOf(TimeSpan life, DateTimeOffset now) => now - Min(Backdated, life / 5);

    /// <summary>When an issuing certificate gets a successor: with a third of its life left, and never so late that leaves are cut short.</summary>
    public static DateTimeOffset RenewIssuerAt(DateTimeOffset notBefore, DateTimeOffset notAfter) => notAfter - (notAfter - notBefore) / 3;

    private static TimeSpan Min(TimeSpan a, TimeSpan b) => a < b ? a : b;
}
