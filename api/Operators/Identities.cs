namespace Mesh.Api.Operators;

/// <summary>The identities that hold or held a certificate of this control plane, or were revoked, ordered by ID.</summary>
public sealed record IdentityList(string TrustDomain, IReadOnlyList<IdentityStatus> Identities);

/// <summary>What is known of one identity. Immutable.</summary>
public sealed record IdentityStatus
{
    /// <summary>The SPIFFE ID.</summary>
    public required string Id { get; init; }

    /// <summary>The services it may serve, as namespace/name.</summary>
    public IReadOnlyList<string> Serves { get; init => field = value ?? []; } = [];

    /// <summary>The node ids that are connected with it now.</summary>
    public IReadOnlyList<string> Nodes { get; init => field = value ?? []; } = [];

    /// <summary>The last certificates issued to it, the newest first; bounded.</summary>
    public IReadOnlyList<IssuedCertificate> Certificates { get; init => field = value ?? []; } = [];

    /// <summary>Whether it is revoked.</summary>
    public bool Revoked { get; init; }
}

/// <summary>A certificate that was issued: a line of the audit log. Immutable.</summary>
public sealed record IssuedCertificate
{
    /// <summary>Its serial number in hex.</summary>
    public required string Serial { get; init; }

    /// <summary>From when it is good.</summary>
    public DateTimeOffset NotBefore { get; init; }

    /// <summary>Until when.</summary>
    public DateTimeOffset NotAfter { get; init; }

    /// <summary>How its holder proved itself: token, kubernetes or certificate.</summary>
    public string Method { get; init => field = value ?? ""; } = "";

    /// <summary>Where the request came from.</summary>
    public string Address { get; init => field = value ?? ""; } = "";
}

/// <summary>The identities that are no longer believed, ordered by ID.</summary>
public sealed record RevocationList(IReadOnlyList<Revocation> Revocations);

/// <summary>An identity that is no longer believed. Immutable.</summary>
public sealed record Revocation
{
    /// <summary>The SPIFFE ID.</summary>
    public required string Identity { get; init; }

    /// <summary>Since when.</summary>
    public DateTimeOffset Since { get; init; }

    /// <summary>Why, in the words of who did it.</summary>
    public string Reason { get; init => field = value ?? ""; } = "";
}

/// <summary>What is asked to be revoked: <c>ns/shop/sa/cart</c> or the whole SPIFFE ID. Immutable.</summary>
public sealed record RevocationRequest(string Identity, string Reason = "");
