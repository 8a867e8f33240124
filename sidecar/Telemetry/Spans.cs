using System.Diagnostics;
using System.Globalization;
using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Telemetry;

/// <summary>
/// Spans of requests: a server span inbound, a client span outbound, made only when somebody listens to the source
/// <c>Mesh.Sidecar</c>. Attributes follow OpenTelemetry's HTTP conventions. Stateless, any thread.
/// </summary>
internal static class Spans
{
    /// <summary>Name of the source, for exporters.</summary>
    public const string SourceName = "Mesh.Sidecar";

    private static readonly ActivitySource Source = new(SourceName);

    /// <summary>
    /// Begins the span of a request below the trace the client sent; null when nobody listens or the sampler says no.
    /// Put it into <see cref="RequestFacts.Span"/>; the sink ends it.
    /// </summary>
    public static Activity? Start(Direction direction, string method, string? traceParent, string? traceState)
    {
        if (!Source.HasListeners()) return null;
        var known = ActivityContext.TryParse(traceParent, traceState, isRemote: true, out var parent);
        var kind = direction == Direction.Outbound ? ActivityKind.Client : ActivityKind.Server;
        // Activity.Current is never used: the parent is what the message says, nothing else.
        Activity.Current = null;
        var span = Source.CreateActivity(method, kind, known ? parent : default);
        if (span is null) return null;
        span.Start();
        Activity.Current = null;
        return span;
    }

    /// <summary>Ends the span with what is known now.</summary>
    public static void End(RequestFacts facts)
    {
        var span = facts.Span!;
        facts.Span = null;
        if (span.IsAllDataRequested) Describe(span, facts);
        span.Stop();
        span.Dispose();
    }

    private static void Describe(Activity span, RequestFacts facts)
    {
        var (path, query) = SplitTarget(facts.Path);
        span.SetTag("http.request.method", facts.Method);
        span.SetTag("url.path", path);
        if (query.Length > 0) span.SetTag("url.query", query);
        span.SetTag("url.scheme", "http");
        span.SetTag("server.address", facts.Authority);
        span.SetTag("network.protocol.version", facts.Protocol.StartsWith("HTTP/", StringComparison.Ordinal) ? facts.Protocol[5..] : facts.Protocol);
        if (facts.UserAgent.Length > 0) span.SetTag("user_agent.original", facts.UserAgent);
        if (facts.Status > 0) span.SetTag("http.response.status_code", facts.Status);
        if (facts.Grpc)
        {
            span.SetTag("rpc.system", "grpc");
            if (facts.GrpcStatus >= 0) span.SetTag("rpc.grpc.status_code", facts.GrpcStatus);
        }

        if (facts.Attempts > 1) span.SetTag("http.request.resend_count", facts.Attempts - 1);
        if (facts.Endpoint is { } endpoint)
        {
            span.SetTag("network.peer.address", endpoint.Host);
            span.SetTag("network.peer.port", endpoint.Port);
        }

        DescribeMesh(span, facts);
    }

    private static void DescribeMesh(Activity span, RequestFacts facts)
    {
        span.SetTag("mesh.source.workload", facts.Source.Workload);
        span.SetTag("mesh.destination.workload", facts.Destination.Workload);
        span.SetTag("mesh.destination.service", facts.Service.Host);
        span.SetTag("mesh.request_id", facts.RequestId);
        if (facts.Route is { } route)
        {
            span.SetTag("mesh.route", route.Name);
            if (route.Source.Length > 0) span.SetTag("mesh.route.source", route.Source);
        }

        if (facts.Cluster is { } cluster) span.SetTag("mesh.cluster", cluster.Name);
        var error = facts.Failure != Failure.None || facts.Status >= 500 || (span.Kind == ActivityKind.Client && facts.Status >= 400)
            || facts.GrpcStatus > 0;
        if (!error) return;
        var row = Failures.Of(facts.Failure);
        span.SetTag("error.type", facts.Failure != Failure.None ? row.Detail : facts.Status.ToString(CultureInfo.InvariantCulture));
        if (facts.Failure != Failure.None) span.SetTag("mesh.response_flags", row.Flag);
        span.SetStatus(ActivityStatusCode.Error, facts.FailureDetail);
    }

    private static (string Path, string Query) SplitTarget(string target)
    {
        var mark = target.IndexOf('?', StringComparison.Ordinal);
        return mark < 0 ? (target, "") : (target[..mark], target[(mark + 1)..]);
    }
}
