namespace Mesh.ControlPlane.Sources.Registry.Checks;

/// <summary>How the state of a check comes about.</summary>
internal enum CheckKind
{
    /// <summary>Somebody reports it; without a report it turns critical.</summary>
    Ttl,

    /// <summary>The registry makes an HTTP request: 2xx passes, 429 warns, all else is critical.</summary>
    Http,

    /// <summary>The registry opens a TCP connection.</summary>
    Tcp,
}

/// <summary>The HTTP request of a check, beside its URL. Immutable.</summary>
internal sealed record HttpCheckRequest
{
    public string Method { get; init; } = "GET";

    public IReadOnlyDictionary<string, IReadOnlyList<string>> Headers { get; init; } = Store.Map.Empty<IReadOnlyList<string>>();

    public string Body { get; init; } = "";

    public bool FollowsRedirects { get; init; } = true;

    public bool VerifiesCertificate { get; init; } = true;
}

/// <summary>A check that this agent runs: what to do, how often, and what follows. Immutable.</summary>
internal sealed record CheckDefinition
{
    public static readonly TimeSpan DefaultTimeout = TimeSpan.FromSeconds(10);

    private static readonly TimeSpan LongestTimer = TimeSpan.FromDays(49);

    public required string CheckId { get; init; }

    public required CheckKind Kind { get; init; }

    /// <summary>The URL (HTTP) or host:port (TCP); empty for a TTL check.</summary>
    public string Target { get; init; } = "";

    public HttpCheckRequest? Request { get; init; }

    /// <summary>The time to live of a TTL check, the time between two tries of the others.</summary>
    public required TimeSpan Period { get; init; }

    public TimeSpan Timeout { get; init; } = DefaultTimeout;

    /// <summary>Zero = never. Else how long the check may be critical before its service is taken out of the registry.</summary>
    public TimeSpan DeregisterAfter { get; init; }

    /// <summary>How many more successes than this one it takes to pass.</summary>
    public int SuccessBeforePassing { get; init; }

    public int FailuresBeforeWarning { get; init; }

    /// <summary>How many more failures than this one it takes to turn critical.</summary>
    public int FailuresBeforeCritical { get; init; }

    public int OutputLimit { get; init; } = 4096;

    /// <summary>A time as timers take it: they refuse more than 49.7 days, which a registration and an older data file may ask for.</summary>
    public static TimeSpan Bounded(TimeSpan time) => time < LongestTimer ? time : LongestTimer;
}
