namespace Mesh.Sidecar.Telemetry;

/// <summary>What an authorization policy had to say, for metrics and the log.</summary>
internal enum AuthorizationOutcome
{
    /// <summary>Refused.</summary>
    Denied,

    /// <summary>Would have been refused by a policy that is only tried out.</summary>
    WouldDeny,

    /// <summary>Marked by an AUDIT policy.</summary>
    Audited,
}

/// <summary>A request or connection a policy had to say something about. Immutable: it waits in a queue until it is logged.</summary>
internal sealed record AuthorizationEvent
{
    public required AuthorizationOutcome Outcome { get; init; }

    /// <summary>Key of the policy; empty when it was that no ALLOW policy matched.</summary>
    public required string Policy { get; init; }

    /// <summary>Where the policy was written, or empty.</summary>
    public string Source { get; init; } = "";

    /// <summary>Name of the filter that asked.</summary>
    public required string Filter { get; init; }

    public required string Listener { get; init; }

    /// <summary>True when an ALLOW policy would have matched another reading of the request.</summary>
    public bool Ambiguous { get; init; }

    /// <summary>SPIFFE ID of the caller; empty when it proved none.</summary>
    public required string Principal { get; init; }

    public required string Remote { get; init; }

    /// <summary>Method; empty for a TCP connection.</summary>
    public string Method { get; init; } = "";

    /// <summary>Target as sent.</summary>
    public string Target { get; init; } = "";

    public string Authority { get; init; } = "";

    public string RequestId { get; init; } = "";

    /// <summary>True when the request was refused in the end, by whatever policy: what an auditor asks next.</summary>
    public bool Refused { get; init; }
}
