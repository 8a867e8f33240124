namespace Mesh.Api.Operators;

/// <summary>What a join token is asked for. Immutable.</summary>
public sealed record TokenRequest
{
    /// <summary>Who its holder becomes: <c>ns/shop/sa/cart</c>, or the whole SPIFFE ID.</summary>
    public required string Identity { get; init; }

    /// <summary>The services it may serve, by name in its namespace.</summary>
    public IReadOnlyList<string> Serves { get; init => field = value ?? []; } = [];

    /// <summary>Addresses its workloads may register at beside the one they call from.</summary>
    public IReadOnlyList<string> Addresses { get; init => field = value ?? []; } = [];

    /// <summary>Seconds until it ends; 0: the control plane's default.</summary>
    public int TtlSeconds { get; init; }
}

/// <summary>A join token that was made. <see cref="Token"/> is a secret: it is shown once and kept nowhere. Immutable.</summary>
public sealed record IssuedToken
{
    /// <summary>The token as a sidecar takes it.</summary>
    public required string Token { get; init; }

    /// <summary>What tells it from all others; harmless to log.</summary>
    public required string Id { get; init; }

    /// <summary>The SPIFFE ID its holder becomes.</summary>
    public required string Identity { get; init; }

    /// <inheritdoc cref="TokenRequest.Serves"/>
    public IReadOnlyList<string> Serves { get; init => field = value ?? []; } = [];

    /// <inheritdoc cref="TokenRequest.Addresses"/>
    public IReadOnlyList<string> Addresses { get; init => field = value ?? []; } = [];

    /// <summary>When it ends, used or not.</summary>
    public DateTimeOffset Expires { get; init; }

    /// <summary>Hides the secret.</summary>
    public override string ToString() => $"join token {Id} for {Identity}";
}
