namespace Mesh.Sidecar.Config;

/// <summary>What a failure becomes on the wire, in metrics and for the operator.</summary>
/// <param name="Status">HTTP status of the answer; 0 when none can be sent.</param>
/// <param name="GrpcStatus">gRPC status of the answer.</param>
/// <param name="Flag">Envoy's response flag, as in metrics and access log.</param>
/// <param name="Detail">Envoy-like response code detail.</param>
/// <param name="Retryable">The retry condition that covers it, if any.</param>
/// <param name="Hint">What an operator should look at.</param>
public sealed record FailureRow(int Status, int GrpcStatus, string Flag, string Detail, RetryOn Retryable, string Hint);

/// <summary>The ONE table of failures. A new failure is one row here and one member of <see cref="Failure"/>.</summary>
public static class Failures
{
    private const int Internal = 13;
    private const int Unavailable = 14;
    private const int DeadlineExceeded = 4;
    private const int Unimplemented = 12;
    private const int PermissionDenied = 7;
    private const int ResourceExhausted = 8;
    private const int Cancelled = 1;

    private static readonly FailureRow[] Rows =
    [
        new(200, 0, "-", "via_upstream", RetryOn.None, ""),
        new(404, Unimplemented, "NR", "route_not_found", RetryOn.None,
            "no route matches this host and path: compare the Host header with `meshctl services`, the path with the HTTPRoute's matches"),
        new(503, Unavailable, "NC", "cluster_not_found", RetryOn.None,
            "the route names a service port that does not exist: check the backendRefs of the route"),
        new(500, Unavailable, "NC", "invalid_backend", RetryOn.None,
            "the rule has no usable backendRef: the control plane's /debug/world says why"),
        new(503, Unavailable, "UH", "no_healthy_upstream", RetryOn.None,
            "no healthy instance is registered: check `meshctl services` and the instances' health checks"),
        new(503, Unavailable, "UF", "upstream_connect_failure", RetryOn.ConnectFailure,
            "the instance refuses connections: is it running and listening on the registered address?"),
        new(503, Unavailable, "UF", "upstream_connect_timeout", RetryOn.ConnectFailure,
            "the instance's address does not answer: check the address, firewalls and the load of its host"),
        new(503, Unavailable, "UF", "upstream_tls_failure", RetryOn.ConnectFailure,
            "mutual TLS with the instance failed: the text says whom we expected and who answered; `meshctl identity show` tells who may serve the service"),
        new(502, Unavailable, "UC", "upstream_connection_termination", RetryOn.Reset,
            "the instance closed the connection before it answered: look at its log for a crash or an idle timeout shorter than 60 s"),
        new(502, Unavailable, "UR", "upstream_reset", RetryOn.Reset,
            "the instance reset the stream: look at its log"),
        new(502, Internal, "UPE", "upstream_protocol_error", RetryOn.None,
            "the instance's answer is not valid HTTP: does the port speak the protocol it is registered with?"),
        new(504, DeadlineExceeded, "UT", "response_timeout", RetryOn.None,
            "the rule's request timeout passed: raise timeouts.request, or find what is slow"),
        new(504, DeadlineExceeded, "UT", "per_try_timeout", RetryOn.Reset,
            "the rule's backendRequest timeout passed: raise timeouts.backendRequest, or find what is slow"),
        new(503, Unavailable, "URX", "retry_limit_exceeded", RetryOn.None,
            "every try failed: the cause of the last one is in this text"),
        new(504, DeadlineExceeded, "SI", "stream_idle_timeout", RetryOn.None,
            "nothing was sent in either direction for the time a rule allows"),
        new(0, Cancelled, "DC", "downstream_disconnect", RetryOn.None,
            "the client closed the connection before the answer was complete"),
        new(400, Internal, "DPE", "bad_request", RetryOn.None,
            "the request breaks HTTP's rules: the text says which"),
        new(403, PermissionDenied, "RBAC", "rbac_access_denied", RetryOn.None,
            "an authorization policy of the destination refuses this caller: the sidecar there logs which one; `meshctl authz check` tells, too"),
        new(508, Unavailable, "LR", "loop_detected", RetryOn.None,
            "the destination is this sidecar itself: use the service's name, not the sidecar's address"),
        new(503, ResourceExhausted, "UO", "overload", RetryOn.None,
            "a limit of this sidecar is reached: see /stats on its admin port"),
        new(500, Internal, "LR", "internal_error", RetryOn.None,
            "a fault of the sidecar: please report it with the log lines around this time"),
        new(502, Unavailable, "UH", "unknown_destination", RetryOn.None,
            "the text says why the destination is refused: declare it as a service, let the sidecars' traffic out (outbound policy allow-any), or see why the control plane does not answer"),
    ];

    /// <summary>The row of a failure.</summary>
    public static FailureRow Of(Failure failure) => Rows[(int)failure];
}
