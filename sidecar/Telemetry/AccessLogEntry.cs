using System.Globalization;
using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Telemetry;

/// <summary>One line of the access log before it is text: a copy of the facts, because their owner reuses them.</summary>
internal readonly record struct AccessLogEntry
{
    public DateTimeOffset Start { get; private init; }
    public TimeSpan Duration { get; private init; }
    public string Method { get; private init; }
    public string Path { get; private init; }
    public string Protocol { get; private init; }
    public int Status { get; private init; }
    public Failure Failure { get; private init; }
    public string FailureDetail { get; private init; }
    public long BytesReceived { get; private init; }
    public long BytesSent { get; private init; }
    public long UpstreamTicks { get; private init; }
    public string ForwardedFor { get; private init; }
    public string UserAgent { get; private init; }
    public string RequestId { get; private init; }
    public string Authority { get; private init; }
    public string UpstreamHost { get; private init; }
    public string UpstreamCluster { get; private init; }
    public string DownstreamLocal { get; private init; }
    public string DownstreamRemote { get; private init; }
    public string Route { get; private init; }
    public int GrpcStatus { get; private init; }
    public string TraceParent { get; private init; }

    /// <summary>Envoy's response code detail; empty for TCP.</summary>
    public string Details { get; private init; }

    /// <summary>Copies a request's facts.</summary>
    public static AccessLogEntry Of(RequestFacts facts, (DateTimeOffset Start, TimeSpan Duration) clock) => new()
    {
        Start = clock.Start,
        Duration = clock.Duration,
        Method = facts.Method,
        Path = OriginForm(facts.Path),
        Protocol = facts.Protocol,
        Status = facts.Status,
        Failure = facts.Failure,
        FailureDetail = facts.FailureDetail,
        Details = DetailsOf(facts),
        BytesReceived = facts.RequestBytes,
        BytesSent = facts.ResponseBytes,
        UpstreamTicks = facts.UpstreamTicks,
        ForwardedFor = facts.ForwardedFor,
        UserAgent = facts.UserAgent,
        RequestId = facts.RequestId,
        Authority = facts.Authority,
        UpstreamHost = facts.Endpoint?.Authority ?? "",
        UpstreamCluster = facts.Cluster?.Name ?? "",
        DownstreamLocal = facts.DownstreamLocal,
        DownstreamRemote = facts.DownstreamRemote,
        Route = facts.Route?.Name ?? "",
        GrpcStatus = facts.GrpcStatus,
        TraceParent = facts.TraceParent,
    };

    /// <summary>Copies a connection's facts.</summary>
    public static AccessLogEntry Of(TcpFacts facts, (DateTimeOffset Start, TimeSpan Duration) clock) => new()
    {
        Start = clock.Start,
        Duration = clock.Duration,
        Method = "",
        Path = "",
        Protocol = "",
        Details = "",
        Failure = facts.Failure,
        FailureDetail = facts.FailureDetail,
        BytesReceived = Volatile.Read(ref facts.ReceivedBytes),
        BytesSent = Volatile.Read(ref facts.SentBytes),
        ForwardedFor = "",
        UserAgent = "",
        RequestId = "",
        Authority = "",
        UpstreamHost = facts.Endpoint?.Authority ?? "",
        UpstreamCluster = facts.Cluster?.Name ?? "",
        DownstreamLocal = facts.DownstreamLocal,
        DownstreamRemote = facts.DownstreamRemote,
        Route = "",
        GrpcStatus = -1,
        TraceParent = "",
    };

    private static string DetailsOf(RequestFacts facts) => facts.Failure switch
    {
        Failure.None when facts.Route is { DirectStatus: > 0 } => "direct_response",
        Failure.AccessDenied => $"rbac_access_denied_matched_policy[{facts.DeniedBy}]",
        _ => Failures.Of(facts.Failure).Detail,
    };

    /// <summary>Path and query of a target: of http://web/a, as clients write it to a proxy, /a.</summary>
    private static string OriginForm(string target)
    {
        var authority = target.StartsWith('/') ? -1 : target.IndexOf("://", StringComparison.Ordinal);
        if (authority < 0) return target;
        var path = target.AsSpan(authority + 3).IndexOfAny('/', '?');
        return path < 0 ? "/" : target[(authority + 3 + path)..];
    }

    /// <summary>Start as both formats write it.</summary>
    public string StartText => Start.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture);
}
