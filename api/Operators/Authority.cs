namespace Mesh.Api.Operators;

/// <summary>The state of the certificate authority. Immutable.</summary>
public sealed record AuthorityStatus
{
    /// <summary>The trust domain it vouches for.</summary>
    public required string TrustDomain { get; init; }

    /// <summary>Where its keys are: "folder PATH", "operator's files in PATH", "Consul KV".</summary>
    public string Store { get; init => field = value ?? ""; } = "";

    /// <summary>Seconds a workload's certificate is good for.</summary>
    public double CertificateLifetimeSeconds { get; init; }

    /// <summary>The roots all workloads believe.</summary>
    public IReadOnlyList<AuthorityCertificate> Roots { get; init => field = value ?? []; } = [];

    /// <summary>The issuers in use, the active one first.</summary>
    public IReadOnlyList<AuthorityCertificate> Issuers { get; init => field = value ?? []; } = [];

    /// <summary>The rotation that runs or ran last; null when there was none.</summary>
    public RotationStatus? Rotation { get; init; }

    /// <summary>What needs somebody's attention: coming expiry, a file that could not be read.</summary>
    public IReadOnlyList<string> Warnings { get; init => field = value ?? []; } = [];
}

/// <summary>A certificate of the authority. Immutable.</summary>
public sealed record AuthorityCertificate
{
    /// <summary>Its subject.</summary>
    public required string Subject { get; init; }

    /// <summary>The SHA-256 of its DER, in hex: what join tokens pin.</summary>
    public required string Sha256 { get; init; }

    /// <summary>From when it is good.</summary>
    public DateTimeOffset NotBefore { get; init; }

    /// <summary>Until when.</summary>
    public DateTimeOffset NotAfter { get; init; }

    /// <summary>Whether new certificates come from it.</summary>
    public bool Active { get; init; }
}

/// <summary>How far a rotation of the root is. Immutable.</summary>
public sealed record RotationStatus
{
    /// <summary>distribute, renew or done; "not begun" when it is only rehearsed.</summary>
    public required string Phase { get; init; }

    /// <summary>Whether it has ended, one way or the other.</summary>
    public bool Done { get; init; }

    /// <summary>Whether it only says how a rotation would go.</summary>
    public bool Rehearsal { get; init; }

    /// <summary>When it began.</summary>
    public DateTimeOffset Started { get; init; }

    /// <summary>Who holds it up (rehearsed: who would): node ids, or identities with holder and address.</summary>
    public IReadOnlyList<string> WaitingFor { get; init => field = value ?? []; } = [];

    /// <summary>The same in words.</summary>
    public string Text { get; init => field = value ?? ""; } = "";
}

/// <summary>A rotation that is asked for. Immutable.</summary>
/// <param name="Rehearse">Only to say how it would go, how long it would take and who would hold it up.</param>
/// <param name="Force">Not to wait any longer for those who hold the present phase up.</param>
public sealed record RotationRequest(bool Rehearse, bool Force = false);
