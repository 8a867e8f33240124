namespace Mesh.Api.Operators;

/// <summary>A request nobody sends, to be judged by the live policies. Immutable.</summary>
public sealed record AuthorizationQuestion
{
    /// <summary>The caller: <c>ns/shop/sa/cart</c>, a whole SPIFFE ID, or empty: one without a certificate.</summary>
    public string From { get; init => field = value ?? ""; } = "";

    /// <summary>The service and port: <c>cart:8080</c>, <c>cart.shop:8080</c>; without a port its only one.</summary>
    public required string To { get; init; }

    /// <summary>The method; empty with <see cref="Path"/>: a TCP connection.</summary>
    public string Method { get; init => field = value ?? ""; } = "";

    /// <summary>The path, with its query.</summary>
    public string Path { get; init => field = value ?? ""; } = "";

    /// <summary>Request headers.</summary>
    public IReadOnlyDictionary<string, string> Headers { get; init => field = value ?? new Dictionary<string, string>(); } = new Dictionary<string, string>();

    /// <summary>The caller's address; empty: that of a workload of the identity, or the loopback address.</summary>
    public string Address { get; init => field = value ?? ""; } = "";

    /// <summary>Whether to answer for every identity the mesh knows instead of <see cref="From"/>.</summary>
    public bool WhoCan { get; init; }
}

/// <summary>The answer: what the destination's sidecar would do, and why. Immutable.</summary>
public sealed record AuthorizationAnswer
{
    /// <summary>The service that was meant, as namespace/name:port.</summary>
    public required string Destination { get; init; }

    /// <summary>The port's mutual-TLS mode: PERMISSIVE, STRICT or DISABLE.</summary>
    public string Mode { get; init => field = value ?? ""; } = "";

    /// <summary>One for the caller that was asked about, or one for each identity known, ordered by ID.</summary>
    public IReadOnlyList<AuthorizationVerdict> Verdicts { get; init => field = value ?? []; } = [];

    /// <summary>What is odd about the policies themselves: names of nothing, two that contradict.</summary>
    public IReadOnlyList<string> Warnings { get; init => field = value ?? []; } = [];
}

/// <summary>The judgement of one caller. Immutable.</summary>
public sealed record AuthorizationVerdict
{
    /// <summary>The caller's SPIFFE ID; empty without one.</summary>
    public string From { get; init => field = value ?? ""; } = "";

    /// <summary>Whether it is let through.</summary>
    public bool Allowed { get; init; }

    /// <summary>Why, in one sentence.</summary>
    public string Reason { get; init => field = value ?? ""; } = "";

    /// <summary>The policy that decided, as namespace/name; empty when none did.</summary>
    public string Policy { get; init => field = value ?? ""; } = "";

    /// <summary>Where its rule is written, as file:line.</summary>
    public string Location { get; init => field = value ?? ""; } = "";

    /// <summary>Every policy that was looked at, in their order: who agrees, who does not, and who is only in dry run.</summary>
    public IReadOnlyList<AuthorizationStep> Steps { get; init => field = value ?? []; } = [];
}

/// <summary>What one policy said. Immutable.</summary>
public sealed record AuthorizationStep
{
    /// <summary>The policy, as namespace/name.</summary>
    public required string Policy { get; init; }

    /// <summary>DENY, ALLOW or AUDIT.</summary>
    public required string Action { get; init; }

    /// <summary>Where its rule (or, when none matched, the policy) is written.</summary>
    public string Location { get; init => field = value ?? ""; } = "";

    /// <summary>Whether one of its rules matched.</summary>
    public bool Matched { get; init; }

    /// <summary>Whether it only says what it would do.</summary>
    public bool DryRun { get; init; }
}
