namespace Mesh.ControlPlane.Sources.Consul;

/// <summary>How services are followed. Immutable; the defaults are for production, tests shorten them.</summary>
internal sealed record ConsulSourceOptions
{
    /// <summary>
    /// Most services followed by a blocking query; the others in use are read in turn. Each query holds a connection, and Consul's
    /// http_max_conns_per_client is 200 by default, shared by all programs of one address.
    /// </summary>
    public int MaxWatches { get; init; } = 150;

    /// <summary>How often each of the others is read.</summary>
    public TimeSpan PollPeriod { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>After the start every service counts as in use for this long, so that nodes that come back find the world as they left it.</summary>
    public TimeSpan WarmTime { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long a service is still followed after nobody needs it.</summary>
    public TimeSpan Linger { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>How long a service that suddenly has no instance keeps the ones it had.</summary>
    public TimeSpan EmptyHold { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long the first world may wait for services that do not answer, once the catalog has.</summary>
    public TimeSpan SyncPatience { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Least time between two worlds in a burst.</summary>
    public TimeSpan Spacing { get; init; } = TimeSpan.FromMilliseconds(10);

    /// <summary>Watches that start together start within this time.</summary>
    public TimeSpan StartJitter { get; init; } = TimeSpan.FromMilliseconds(200);

    /// <summary>The rules of blocking queries.</summary>
    public BlockingQueryOptions Query { get; init; } = new();
}
