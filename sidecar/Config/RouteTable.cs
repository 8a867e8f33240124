using System.Collections.Frozen;
using System.Collections.Immutable;

namespace Mesh.Sidecar.Config;

/// <summary>An xDS RouteConfiguration, resolved: hosts to virtual hosts to routes. Immutable.</summary>
public sealed record RouteTable
{
    private readonly FrozenDictionary<string, int> exact = FrozenDictionary<string, int>.Empty;
    private readonly FrozenDictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> lookup = NoDomains;

    /// <summary>Name of the xDS resource; empty when it is written inside its listener.</summary>
    public required string Name { get; init; }

    /// <summary>Virtual hosts in document order; the domains below point into it.</summary>
    public ImmutableArray<VirtualHost> Hosts { get; init; } = [];

    /// <summary>Exact domains. Must be made with <see cref="StringComparer.OrdinalIgnoreCase"/>.</summary>
    public FrozenDictionary<string, int> Exact
    {
        get => exact;
        init
        {
            exact = value;
            lookup = value.GetAlternateLookup<ReadOnlySpan<char>>();
        }
    }

    /// <summary><c>*suffix</c> domains (without the star).</summary>
    public DomainEnds Suffixes { get; init; } = DomainEnds.None;

    /// <summary><c>prefix*</c> domains (without the star); most are <c>host:*</c>.</summary>
    public DomainEnds Prefixes { get; init; } = DomainEnds.None;

    /// <summary>The <c>*</c> domain; -1 when there is none.</summary>
    public int Any { get; init; } = -1;

    /// <summary>True: a port in the host is ignored when matching.</summary>
    public bool IgnorePort { get; init; }

    private static FrozenDictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> NoDomains { get; } =
        new Dictionary<string, int>().ToFrozenDictionary(StringComparer.OrdinalIgnoreCase).GetAlternateLookup<ReadOnlySpan<char>>();

    /// <summary>Looks an exact domain up.</summary>
    internal bool TryGetExact(ReadOnlySpan<char> host, out int index) => lookup.TryGetValue(host, out index);
}

/// <summary>A virtual host: the routes of one service.</summary>
public sealed record VirtualHost
{
    /// <summary>Name, unique in its table.</summary>
    public required string Name { get; init; }

    /// <summary>Routes; the first that matches wins.</summary>
    public required ImmutableArray<Route> Routes { get; init; }
}

/// <summary>A route: matchers, and where to. Everything a request needs is resolved here; nothing is looked up by name later.</summary>
public sealed record Route
{
    /// <summary>Name for logs, may be empty.</summary>
    public required string Name { get; init; }

    /// <summary>Where it was written, <c>HTTPRoute shop/canary rule 0 (rules/shop.yaml:12)</c>; empty when unknown.</summary>
    public string Source { get; init; } = "";

    /// <summary>What a request must look like.</summary>
    public required RouteMatch Match { get; init; }

    /// <summary>Backends by weight; empty when <see cref="DirectStatus"/> answers.</summary>
    public ImmutableArray<WeightedCluster> Clusters { get; init; } = [];

    /// <summary>Sum of all weights.</summary>
    public uint TotalWeight { get; init; }

    /// <summary>Status of a direct response; 0 when the route forwards.</summary>
    public int DirectStatus { get; init; }

    /// <summary>Body of a direct response.</summary>
    public string DirectBody { get; init; } = "";

    /// <summary>Status when the chosen cluster does not exist; Envoy's cluster_not_found_response_code, default 503.</summary>
    public int ClusterNotFoundStatus { get; init; } = 503;

    /// <summary>Bound of the whole transaction; zero is none.</summary>
    public TimeSpan Timeout { get; init; }

    /// <summary>What is tried again.</summary>
    public RetryPolicy Retry { get; init; } = RetryPolicy.None;
}

/// <summary>A cluster with its share. <see cref="Cluster"/> is null when the name is not defined (flag NC).</summary>
public sealed record WeightedCluster(string Name, Cluster? Cluster, uint Weight);

/// <summary>When and how a request is tried again (Envoy's RetryPolicy). Immutable.</summary>
public sealed record RetryPolicy
{
    /// <summary>Never.</summary>
    public static RetryPolicy None { get; } = new();

    /// <summary>Where nobody wrote a rule: what no server can have processed is tried again, twice.</summary>
    public static RetryPolicy Usual { get; } = new() { On = RetryOn.ConnectFailure | RetryOn.RefusedStream | RetryOn.ResetBeforeRequest, MaxRetries = 2 };

    /// <summary>Conditions.</summary>
    public RetryOn On { get; init; }

    /// <summary>Retries beyond the first try.</summary>
    public int MaxRetries { get; init; }

    /// <summary>Bound of one try; zero is none.</summary>
    public TimeSpan PerTryTimeout { get; init; }

    /// <summary>Status codes to retry with <see cref="RetryOn.StatusCodes"/>, sorted.</summary>
    public ImmutableArray<int> StatusCodes { get; init; } = [];

    /// <summary>
    /// True when a request may be sent again after bytes of it have left: its body must be kept then. The default conditions
    /// (the server processed nothing) never need that.
    /// </summary>
    public bool SendsBodyAgain => (On & ~(RetryOn.ConnectFailure | RetryOn.RefusedStream | RetryOn.ResetBeforeRequest)) != RetryOn.None;

    /// <summary>Base of the exponential backoff with full jitter.</summary>
    public TimeSpan BackoffBase { get; init; } = TimeSpan.FromMilliseconds(25);

    /// <summary>Longest wait; Envoy's default is ten times the base.</summary>
    public TimeSpan BackoffMax { get; init; } = TimeSpan.FromMilliseconds(250);
}

/// <summary>Retry conditions, by Envoy's names.</summary>
[Flags]
public enum RetryOn
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary><c>connect-failure</c>.</summary>
    ConnectFailure = 1,

    /// <summary><c>refused-stream</c>.</summary>
    RefusedStream = 2,

    /// <summary><c>reset-before-request</c>: reset before any byte of the request was sent.</summary>
    ResetBeforeRequest = 4,

    /// <summary><c>reset</c>: any reset or timeout of a try before the response began.</summary>
    Reset = 8,

    /// <summary><c>retriable-status-codes</c>.</summary>
    StatusCodes = 16,

    /// <summary><c>5xx</c>.</summary>
    ServerErrors = 32,

    /// <summary><c>gateway-error</c>: 502, 503, 504.</summary>
    GatewayErrors = 64,
}
