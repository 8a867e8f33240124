using Envoy.Config.Route.V3;
using Google.Protobuf.WellKnownTypes;
using Mesh.ControlPlane.Model;
using static Envoy.Config.Route.V3.RouteAction.Types;

namespace Mesh.ControlPlane.Compilation;

/// <summary>Where a rule's requests go and how they are tried: rules -> RouteAction. Pure.</summary>
internal static class RouteActionCompiler
{
    private const string NeverProcessed = "connect-failure,refused-stream,reset-before-request";
    private const uint DefaultRetries = 2;

    /// <summary>Straight to a cluster with the default policy: no timeout, retries of what no server can have processed.</summary>
    public static RouteAction Default(string cluster) => new()
    {
        Cluster = cluster,
        Timeout = new Duration(),
        RetryPolicy = new RetryPolicy { RetryOn = NeverProcessed, NumRetries = DefaultRetries },
    };

    /// <summary>A rule for sidecars and Envoy.</summary>
    public static RouteAction Sidecar(HttpRouteRule rule)
    {
        var action = Split(rule);
        action.Timeout = Duration.FromTimeSpan(rule.RequestTimeout ?? TimeSpan.Zero);
        action.RetryPolicy = Retries(rule);
        return action;
    }

    /// <summary>A rule for gRPC libraries, which read max_stream_duration instead of timeout, and retry by gRPC status.</summary>
    public static RouteAction Grpc(HttpRouteRule rule)
    {
        var action = Split(rule);
        if (rule.RequestTimeout is { } timeout && timeout > TimeSpan.Zero)
            action.MaxStreamDuration = new MaxStreamDuration { MaxStreamDuration_ = Duration.FromTimeSpan(timeout) };
        if (rule.Retry is { } retry && GrpcConditions(retry) is { Length: > 0 } conditions && retry.Attempts is not 0)
        {
            action.RetryPolicy = new RetryPolicy { RetryOn = conditions, NumRetries = (uint?)retry.Attempts ?? DefaultRetries, RetryBackOff = Backoff(retry) };
        }

        return action;
    }

    private static RouteAction Split(HttpRouteRule rule)
    {
        var action = new RouteAction();
        if (rule.Backends.Any(backend => backend.Invalid is not null) || rule.Backends.All(backend => backend.Weight == 0))
            action.ClusterNotFoundResponseCode = ClusterNotFoundResponseCode.InternalServerError;
        if (rule.Backends.All(backend => backend.Weight == 0)) action.Cluster = XdsNames.InvalidBackend;
        else if (rule.Backends is [var only]) action.Cluster = ClusterOf(only);
        else
        {
            action.WeightedClusters = new WeightedCluster();
            action.WeightedClusters.Clusters.AddRange(rule.Backends.Select(backend =>
                new WeightedCluster.Types.ClusterWeight { Name = ClusterOf(backend), Weight = (uint)backend.Weight }));
        }

        return action;
    }

    private static string ClusterOf(BackendRef backend) => backend is { Invalid: null, Port: { } port }
        ? XdsNames.Cluster(backend.Service, port)
        : XdsNames.InvalidBackend;

    private static RetryPolicy Retries(HttpRouteRule rule)
    {
        var policy = new RetryPolicy { RetryOn = NeverProcessed, NumRetries = DefaultRetries };
        if (rule.Retry is { } retry)
        {
            // A retry stanza asks for retries of connection errors and tries that took too long, with or without codes (GEP-1731).
            policy.RetryOn += retry.Codes.Length > 0 ? ",reset,retriable-status-codes" : ",reset";
            policy.NumRetries = (uint?)retry.Attempts ?? DefaultRetries;
            policy.RetriableStatusCodes.AddRange(retry.Codes.Order().Select(code => (uint)code));
            policy.RetryBackOff = Backoff(retry);
        }

        if (rule.BackendRequestTimeout is { } perTry && perTry > TimeSpan.Zero) policy.PerTryTimeout = Duration.FromTimeSpan(perTry);
        return policy;
    }

    private static RetryPolicy.Types.RetryBackOff? Backoff(RetryRule retry) => retry.Backoff is { } least && least > TimeSpan.Zero
        ? new RetryPolicy.Types.RetryBackOff
        {
            BaseInterval = Duration.FromTimeSpan(least),
            MaxInterval = Duration.FromTimeSpan(least * 10),
        }
        : null;

    private static string GrpcConditions(RetryRule retry)
    {
        var conditions = new SortedSet<string>(StringComparer.Ordinal) { "unavailable" };
        if (retry.Codes.Contains(500)) conditions.Add("internal");
        if (retry.Codes.Contains(504)) conditions.Add("deadline-exceeded");
        if (retry.Codes.Contains(429)) conditions.Add("resource-exhausted");
        return string.Join(',', conditions);
    }
}
