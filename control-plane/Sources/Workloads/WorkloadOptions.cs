namespace Mesh.ControlPlane.Sources.Workloads;

/// <summary>How registered workloads are kept. Immutable; the defaults are for production, tests shorten them.</summary>
internal sealed record WorkloadOptions
{
    /// <summary>How long a workload whose stream broke may be away before it is withdrawn (<c>--grace</c>).</summary>
    public TimeSpan Grace { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>
    /// How long the entries of a control plane that is gone wait for their workloads to come back to another one. At least two renewals of a
    /// session: a registry that forgot everything must hear from all replicas first.
    /// </summary>
    public TimeSpan OrphanGrace
    {
        get => field < 2 * RenewPeriod ? 2 * RenewPeriod : field;
        init;
    } = TimeSpan.FromSeconds(30);

    /// <summary>How often entries whose control plane is gone are looked for.</summary>
    public TimeSpan CollectPeriod { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How often an entry is compared with the registry although nothing hints at a difference.</summary>
    public TimeSpan ReconcilePeriod { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>How long an answer waits for the registry before it says PENDING.</summary>
    public TimeSpan AckPatience { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>Life of this replica's session in the registry. Consul may end it up to twice as late.</summary>
    public TimeSpan SessionTtl { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>How often the session is renewed; half its life.</summary>
    public TimeSpan RenewPeriod { get; init; } = TimeSpan.FromSeconds(7.5);

    /// <summary>Waits after a failed write.</summary>
    public Backoff Backoff { get; init; } = new(TimeSpan.FromMilliseconds(200), TimeSpan.FromSeconds(15));

    /// <summary>Most workloads of one control plane.</summary>
    public int MaxWorkloads { get; init; } = 10_000;

    /// <summary>Streams that may be open beside those of <see cref="MaxWorkloads"/>: they wait to register, or lost their workload.</summary>
    public int SpareStreams { get; init; } = 1000;

    /// <summary>How long a stream may be open before it registers its workload.</summary>
    public TimeSpan RegisterWithin { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Most writes to the registry at once.</summary>
    public int MaxWrites { get; init; } = 16;

    /// <summary>Least time between two worlds in a burst.</summary>
    public TimeSpan Spacing { get; init; } = TimeSpan.FromMilliseconds(10);
}
