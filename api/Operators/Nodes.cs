namespace Mesh.Api.Operators;

/// <summary>The clients connected to the control plane's xDS port, ordered by id.</summary>
public sealed record NodeList(IReadOnlyList<NodeStatus> Nodes);

/// <summary>One connected xDS client: who it says it is and how far its configuration is. Immutable.</summary>
public sealed record NodeStatus
{
    /// <summary>The xDS node id.</summary>
    public required string Id { get; init; }

    /// <summary>The service it carries, empty for a client that is none (a gRPC client).</summary>
    public string Service { get; init => field = value ?? ""; } = "";

    /// <summary>Its namespace.</summary>
    public string Namespace { get; init => field = value ?? ""; } = "";

    /// <summary>The workload id it registered, when it did.</summary>
    public string Workload { get; init => field = value ?? ""; } = "";

    /// <summary>The SPIFFE ID it connected with; empty on the plaintext port.</summary>
    public string Identity { get; init => field = value ?? ""; } = "";

    /// <summary>The version label of the workload.</summary>
    public string Version { get; init => field = value ?? ""; } = "";

    /// <summary>The program that connected, with its version, as it names itself.</summary>
    public string UserAgent { get; init => field = value ?? ""; } = "";

    /// <summary>When its stream was opened.</summary>
    public DateTimeOffset ConnectedSince { get; init; }

    /// <summary>One entry for each resource type it subscribed to.</summary>
    public IReadOnlyList<SubscriptionStatus> Subscriptions { get; init => field = value ?? []; } = [];
}

/// <summary>What a node was sent of one resource type, and what it said to it. Immutable.</summary>
public sealed record SubscriptionStatus
{
    /// <summary>LDS, RDS, CDS, EDS or SDS.</summary>
    public required string Type { get; init; }

    /// <summary>How many resources the last response held.</summary>
    public int Resources { get; init; }

    /// <summary>The version sent last.</summary>
    public string Sent { get; init => field = value ?? ""; } = "";

    /// <summary>The version it accepted last.</summary>
    public string Acked { get; init => field = value ?? ""; } = "";

    /// <summary>The version it refused last; empty when none since the last ACK.</summary>
    public string Nacked { get; init => field = value ?? ""; } = "";

    /// <summary>Why it refused, in its own words.</summary>
    public string Error { get; init => field = value ?? ""; } = "";

    /// <summary>When it refused.</summary>
    public DateTimeOffset? NackedAt { get; init; }

    /// <summary>When the last response was sent.</summary>
    public DateTimeOffset? SentAt { get; init; }
}
