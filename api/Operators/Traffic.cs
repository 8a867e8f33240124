namespace Mesh.Api.Operators;

/// <summary>Golden signals for each service over the last window, ordered by namespace and name.</summary>
public sealed record StatList(double WindowSeconds, IReadOnlyList<ServiceTraffic> Services);

/// <summary>Who calls whom over the last window, ordered by source and destination.</summary>
public sealed record EdgeList(double WindowSeconds, IReadOnlyList<EdgeTraffic> Edges);

/// <summary>Requests over a window: null where nothing was counted. Immutable.</summary>
public sealed record Traffic
{
    /// <summary>Requests a second.</summary>
    public double Rps { get; init; }

    /// <summary>Share of requests that succeeded, 0 to 1.</summary>
    public double? SuccessRate { get; init; }

    /// <summary>Latency quantiles in milliseconds.</summary>
    public double? P50 { get; init; }

    /// <inheritdoc cref="P50"/>
    public double? P95 { get; init; }

    /// <inheritdoc cref="P50"/>
    public double? P99 { get; init; }

    /// <summary>TCP connections open now.</summary>
    public long TcpConnections { get; init; }

    /// <summary>Requests counted in the window.</summary>
    public long Requests { get; init; }

    /// <summary>Those of them that failed.</summary>
    public long Failures { get; init; }
}

/// <summary>What a service received. Immutable.</summary>
public sealed record ServiceTraffic
{
    /// <summary>The service.</summary>
    public required string Name { get; init; }

    /// <summary>Its namespace.</summary>
    public required string Namespace { get; init; }

    /// <summary>Endpoints with a sidecar.</summary>
    public int Meshed { get; init; }

    /// <summary>All endpoints.</summary>
    public int Total { get; init; }

    /// <summary>The signals; null when its sidecars reported nothing in the window.</summary>
    public Traffic? Traffic { get; init; }
}

/// <summary>One end of an edge. Immutable.</summary>
public sealed record EdgeEnd(string Workload, string Namespace, string Service, string Version)
{
    /// <summary>The SPIFFE ID it proved; empty without mutual TLS.</summary>
    public string Identity { get; init => field = value ?? ""; } = "";
}

/// <summary>Traffic of one workload to another. Immutable.</summary>
public sealed record EdgeTraffic
{
    /// <summary>Who calls.</summary>
    public required EdgeEnd Source { get; init; }

    /// <summary>Who is called.</summary>
    public required EdgeEnd Destination { get; init; }

    /// <summary>http, grpc or tcp.</summary>
    public string Protocol { get; init => field = value ?? ""; } = "";

    /// <summary>Whether it is carried under mutual TLS.</summary>
    public bool Secured { get; init; }

    /// <summary>The signals.</summary>
    public required Traffic Traffic { get; init; }
}
