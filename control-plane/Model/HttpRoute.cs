using System.Collections.Immutable;

namespace Mesh.ControlPlane.Model;

/// <summary>A Gateway API HTTPRoute with Service parents. Immutable; validated before it gets here.</summary>
public sealed record HttpRoute
{
    /// <summary>Namespace and name of the route itself.</summary>
    public required ServiceName Name { get; init; }

    /// <summary>The services whose traffic it takes over; at least one.</summary>
    public required ImmutableArray<ParentRef> Parents { get; init; }

    /// <summary>Rules in document order.</summary>
    public required ImmutableArray<HttpRouteRule> Rules { get; init; }

    /// <summary>Creation time where the source knows it; older routes win ties (Gateway API, "match precedence").</summary>
    public DateTimeOffset? Created { get; init; }

    /// <summary>Where it was written.</summary>
    public required Provenance Source { get; init; }

    /// <summary>Equal by content, arrays included.</summary>
    public bool Equals(HttpRoute? other) =>
        ReferenceEquals(this, other) || (other is not null
            && Name == other.Name
            && Sequence.Same(Parents, other.Parents)
            && Sequence.Same(Rules, other.Rules)
            && Created == other.Created
            && Source == other.Source);

    /// <inheritdoc/>
    public override int GetHashCode() => Name.GetHashCode();
}

/// <summary>A parent of a route.</summary>
/// <param name="Service">The service.</param>
/// <param name="Port">Its port, or null for all ports.</param>
public sealed record ParentRef(ServiceName Service, int? Port);

/// <summary>One rule: what it matches and where that goes.</summary>
public sealed record HttpRouteRule
{
    /// <summary>Name of the rule, empty when it has none.</summary>
    public string Name { get; init; } = "";

    /// <summary>Any of these; empty in the document means one match of everything, which is what stands here then.</summary>
    public required ImmutableArray<HttpRouteMatch> Matches { get; init; }

    /// <summary>Backends by weight; empty answers 500 (Gateway API).</summary>
    public required ImmutableArray<BackendRef> Backends { get; init; }

    /// <summary>Bound of the whole transaction; null or zero is no bound.</summary>
    public TimeSpan? RequestTimeout { get; init; }

    /// <summary>Bound of each try; null or zero is no bound.</summary>
    public TimeSpan? BackendRequestTimeout { get; init; }

    /// <summary>Retries beyond the default ones, or null.</summary>
    public RetryRule? Retry { get; init; }

    /// <summary>Where the rule was written.</summary>
    public required Provenance Source { get; init; }

    /// <summary>Equal by content, arrays included.</summary>
    public bool Equals(HttpRouteRule? other) =>
        ReferenceEquals(this, other) || (other is not null
            && Name == other.Name
            && Sequence.Same(Matches, other.Matches)
            && Sequence.Same(Backends, other.Backends)
            && RequestTimeout == other.RequestTimeout
            && BackendRequestTimeout == other.BackendRequestTimeout
            && Retry == other.Retry
            && Source == other.Source);

    /// <inheritdoc/>
    public override int GetHashCode() => Source.GetHashCode();
}

/// <summary>Gateway API HTTPRouteRetry (GEP-1731).</summary>
/// <param name="Codes">Status codes to retry, beside connection errors and timeouts of a try.</param>
/// <param name="Attempts">Retries, that is tries - 1; null is the implementation's default.</param>
/// <param name="Backoff">Least wait between tries; null is the implementation's default.</param>
public sealed record RetryRule(ImmutableArray<int> Codes, int? Attempts, TimeSpan? Backoff)
{
    /// <summary>Equal by content, arrays included.</summary>
    public bool Equals(RetryRule? other) =>
        ReferenceEquals(this, other) || (other is not null
            && Sequence.Same(Codes, other.Codes)
            && Attempts == other.Attempts
            && Backoff == other.Backoff);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Attempts, Backoff);
}

/// <summary>All parts must match.</summary>
public sealed record HttpRouteMatch
{
    /// <summary>The match of everything.</summary>
    public static HttpRouteMatch Everything { get; } = new();

    /// <summary>How <see cref="Path"/> is compared.</summary>
    public MatchKind PathKind { get; init; } = MatchKind.PathPrefix;

    /// <summary>The path, prefix (by segment) or regular expression.</summary>
    public string Path { get; init; } = "/";

    /// <summary>Headers; names in lower case.</summary>
    public ImmutableArray<ValueMatch> Headers { get; init; } = [];

    /// <summary>Query parameters; names are case-sensitive.</summary>
    public ImmutableArray<ValueMatch> QueryParams { get; init; } = [];

    /// <summary>Method in upper case, or null for any.</summary>
    public string? Method { get; init; }

    /// <summary>Equal by content, arrays included.</summary>
    public bool Equals(HttpRouteMatch? other) =>
        ReferenceEquals(this, other) || (other is not null
            && PathKind == other.PathKind
            && Path == other.Path
            && Sequence.Same(Headers, other.Headers)
            && Sequence.Same(QueryParams, other.QueryParams)
            && Method == other.Method);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(PathKind, Path, Method);
}

/// <summary>How a value is compared.</summary>
public enum MatchKind
{
    /// <summary>Equal.</summary>
    Exact,

    /// <summary>Prefix by path segments.</summary>
    PathPrefix,

    /// <summary>RE2-like regular expression over the whole value.</summary>
    RegularExpression,
}

/// <summary>A header or query parameter with its expected value.</summary>
public sealed record ValueMatch(string Name, MatchKind Kind, string Value);

/// <summary>Where a share of the requests goes.</summary>
/// <param name="Service">The service.</param>
/// <param name="Port">Its port; null only when <paramref name="Invalid"/> says so.</param>
/// <param name="Weight">Share, 0 to 1,000,000.</param>
/// <param name="Invalid">Why it cannot be used (kind, missing port ...), or null; its share is answered with 500.</param>
public sealed record BackendRef(ServiceName Service, int? Port, int Weight, string? Invalid = null);
