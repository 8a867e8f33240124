namespace Mesh.Api.Operators;

/// <summary>The services the mesh knows, ordered by namespace and name.</summary>
public sealed record ServiceList(IReadOnlyList<ServiceStatus> Services);

/// <summary>One service with its endpoints. Immutable.</summary>
public sealed record ServiceStatus
{
    /// <summary>Its short name.</summary>
    public required string Name { get; init; }

    /// <summary>Its namespace.</summary>
    public required string Namespace { get; init; }

    /// <summary>Its full host name.</summary>
    public required string Host { get; init; }

    /// <summary>Where it is defined: "consul", "registry", or the file and line.</summary>
    public string Source { get; init => field = value ?? ""; } = "";

    /// <summary>Its ports.</summary>
    public IReadOnlyList<ServicePortStatus> Ports { get; init => field = value ?? []; } = [];

    /// <summary>Its endpoints, the unhealthy ones included.</summary>
    public IReadOnlyList<EndpointStatus> Endpoints { get; init => field = value ?? []; } = [];

    /// <summary>The rules attached to it, as kind/name (file:line).</summary>
    public IReadOnlyList<string> Rules { get; init => field = value ?? []; } = [];
}

/// <summary>A port callers use. Immutable.</summary>
public sealed record ServicePortStatus(int Port, string Name, string Protocol);

/// <summary>One instance of a service. Immutable.</summary>
public sealed record EndpointStatus
{
    /// <summary>The workload id, or the registry's instance id.</summary>
    public required string Id { get; init; }

    /// <summary>Address and port callers connect to.</summary>
    public required string Address { get; init; }

    /// <summary>The version label.</summary>
    public string Version { get; init => field = value ?? ""; } = "";

    /// <summary>The zone.</summary>
    public string Zone { get; init => field = value ?? ""; } = "";

    /// <summary>HEALTHY, UNHEALTHY, DRAINING, ...: xDS's words.</summary>
    public string Health { get; init => field = value ?? ""; } = "";

    /// <summary>Whether a sidecar carries it.</summary>
    public bool Meshed { get; init; }
}
