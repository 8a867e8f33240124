using System.Collections.Immutable;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Identity;

namespace Mesh.Sidecar.Telemetry;

/// <summary>A number that only grows. Thread safe, one atomic add.</summary>
internal sealed class Counter(string name, string help)
{
    private long value;

    /// <summary>Prometheus name.</summary>
    public string Name => name;

    /// <summary>One line for people.</summary>
    public string Help => help;

    /// <summary>Value now.</summary>
    public long Value => Volatile.Read(ref value);

    /// <summary>Adds.</summary>
    public void Add(long delta = 1) => Interlocked.Add(ref value, delta);
}

/// <summary>A number that goes up and down, kept by whoever changes it. Thread safe.</summary>
internal sealed class Gauge(string name, string help)
{
    private long value;

    /// <summary>Prometheus name.</summary>
    public string Name => name;

    /// <summary>One line for people.</summary>
    public string Help => help;

    /// <summary>Value now.</summary>
    public long Value => Volatile.Read(ref value);

    /// <summary>Adds (or takes away).</summary>
    public void Add(long delta) => Interlocked.Add(ref value, delta);

    /// <summary>Sets.</summary>
    public void Set(long next) => Volatile.Write(ref value, next);
}

/// <summary>
/// The sidecar's numbers about itself. One per process, made by Program, handed to whoever counts. What belongs to a part that may not
/// know Telemetry (xDS, Config) is read through <see cref="Observe"/>.
/// </summary>
internal sealed class SidecarMetrics
{
    private ImmutableArray<ObservedNumber> observed = [];

    /// <summary>Client connections accepted.</summary>
    public Counter DownstreamConnections { get; } = new("mesh_sidecar_downstream_connections_total", "Client connections accepted.");

    /// <summary>Client connections closed at once, since as many as may be were open.</summary>
    public Counter ConnectionsOverLimit { get; } =
        new("mesh_sidecar_downstream_connections_over_limit_total", "Client connections closed at once, since as many as may be were open.");

    /// <summary>Client connections open.</summary>
    public Gauge DownstreamOpen { get; } = new("mesh_sidecar_downstream_connections_open", "Client connections open now.");

    /// <summary>Connections made to endpoints.</summary>
    public Counter UpstreamConnections { get; } = new("mesh_sidecar_upstream_connections_total", "Connections made to endpoints.");

    /// <summary>Connections to endpoints open.</summary>
    public Gauge UpstreamOpen { get; } = new("mesh_sidecar_upstream_connections_open", "Connections to endpoints open now.");

    /// <summary>Connections to endpoints that could not be made.</summary>
    public Counter UpstreamConnectFailures { get; } =
        new("mesh_sidecar_upstream_connect_failures_total", "Connections to endpoints that could not be made.");

    /// <summary>Requests in flight.</summary>
    public Gauge RequestsActive { get; } = new("mesh_sidecar_requests_active", "Requests in flight now.");

    /// <summary>Tries beyond the first.</summary>
    public Counter Retries { get; } = new("mesh_sidecar_retries_total", "Tries beyond the first.");

    /// <summary>Retries the budget refused.</summary>
    public Counter RetriesOverBudget { get; } = new("mesh_sidecar_retries_over_budget_total", "Retries the budget refused.");

    /// <summary>Trailers that could not be passed on.</summary>
    public Counter DroppedTrailers { get; } =
        new("mesh_sidecar_dropped_trailers_total", "Messages whose trailers were dropped: those of requests, and those of answers to HTTP/1 clients.");

    /// <summary>Requests refused before anything was forwarded.</summary>
    public Counter RefusedRequests { get; } =
        new("mesh_sidecar_refused_requests_total", "Requests refused before anything was forwarded: malformed, ambiguous or looping.");

    /// <summary>Endpoints taken out because they refused connections.</summary>
    public Counter Ejections { get; } = new("mesh_sidecar_ejections_total", "Endpoints taken out because they refused connections.");

    /// <summary>Access log lines dropped because the writer could not keep up.</summary>
    public Counter AccessLogDropped { get; } =
        new("mesh_sidecar_access_log_dropped_total", "Access log lines dropped because the writer could not keep up.");

    /// <summary>Requests counted on the <c>other</c> series because the budget of series was spent.</summary>
    public Counter SeriesOverflow { get; } = new("mesh_sidecar_series_overflow_total",
        "Requests and connections counted on the series 'other' because the budget of series was spent.");

    /// <summary>TLS handshakes that succeeded.</summary>
    public CounterFamily Handshakes { get; } = new("mesh_sidecar_tls_handshakes_total", "Mutual TLS handshakes that succeeded.", "direction");

    /// <summary>TLS handshakes that failed.</summary>
    public CounterFamily HandshakeFailures { get; } =
        new("mesh_sidecar_tls_handshake_failures_total", "Mutual TLS handshakes that failed, by reason.", "direction", "reason");

    /// <summary>Counts a handshake.</summary>
    public void HandshakeDone(HandshakeProblem problem, Direction direction)
    {
        var way = direction == Direction.Inbound ? "inbound" : "outbound";
        if (problem == HandshakeProblem.None) Handshakes.Add(way);
        else HandshakeFailures.Add(way, ReasonOf(problem));
    }

    /// <summary>Requests and connections refused by policy.</summary>
    public CounterFamily AccessDenied { get; } = new("mesh_sidecar_authz_denied_total",
        "Requests and TCP connections an authorization policy refused; policy none: no ALLOW policy matched.", "listener", "policy");

    /// <summary>Requests and connections a policy that is tried out would have refused.</summary>
    public CounterFamily AccessWouldBeDenied { get; } = new("mesh_sidecar_authz_dry_run_denied_total",
        "Requests and TCP connections an authorization policy in dry run would have refused.", "listener", "policy");

    /// <summary>Requests and connections marked by an AUDIT policy.</summary>
    public CounterFamily AccessAudited { get; } = new("mesh_sidecar_authz_audited_total",
        "Requests and TCP connections an AUDIT policy matched.", "listener", "policy");

    /// <summary>Lines about policies that were dropped because the log could not keep up.</summary>
    public Counter AuthorizationLogDropped { get; } =
        new("mesh_sidecar_authz_log_dropped_total", "Lines about authorization that were dropped because the log could not keep up.");

    /// <summary>Captured connections that were not served.</summary>
    public CounterFamily CaptureRefused { get; } = new("mesh_sidecar_capture_refused_total",
        "Captured connections, and calls that lead back into this sidecar, that were refused, by reason.", "direction", "reason");

    /// <summary>Connections whose clients were silent at first, on ports of undeclared protocol.</summary>
    public CounterFamily Detections { get; } = new("mesh_sidecar_detection_races_total",
        "Connections whose clients were silent at first, on ports of undeclared protocol, by what decided what they speak.", "direction", "decided_by");

    /// <summary>Kept configurations that were not used.</summary>
    public CounterFamily KeptRefused { get; } = new("mesh_sidecar_kept_configuration_refused_total",
        "Configurations kept on disk that were not used at start, by reason.", "reason");

    /// <summary>The counter of an outcome.</summary>
    public CounterFamily Authorization(AuthorizationOutcome outcome) => outcome switch
    {
        AuthorizationOutcome.Denied => AccessDenied,
        AuthorizationOutcome.WouldDeny => AccessWouldBeDenied,
        _ => AccessAudited,
    };

    /// <summary>All counters with labels, in order of exposition.</summary>
    public IReadOnlyList<CounterFamily> Families => [Handshakes, HandshakeFailures, AccessDenied, AccessWouldBeDenied, AccessAudited, CaptureRefused, Detections, KeptRefused];

    /// <summary>All counters, in order of exposition.</summary>
    public IReadOnlyList<Counter> Counters =>
    [
        DownstreamConnections, ConnectionsOverLimit, UpstreamConnections, UpstreamConnectFailures, Retries, RetriesOverBudget, DroppedTrailers,
        RefusedRequests, Ejections, AccessLogDropped, SeriesOverflow, AuthorizationLogDropped,
    ];

    /// <summary>All gauges, in order of exposition.</summary>
    public IReadOnlyList<Gauge> Gauges => [DownstreamOpen, UpstreamOpen, RequestsActive];

    /// <summary>Numbers read from elsewhere when someone asks.</summary>
    public IReadOnlyList<ObservedNumber> Observed => observed;

    /// <summary>Raised for each number that <see cref="Observe"/> adds.</summary>
    public event Action<ObservedNumber>? Added;

    /// <summary>
    /// Adds a number that is read when someone asks. Call at start only, from one thread. <paramref name="grows"/>: a counter (its name
    /// ends in _total).
    /// </summary>
    public void Observe(string name, string help, bool grows, Func<double> read)
    {
        var added = new ObservedNumber(name, help, grows, read);
        ImmutableInterlocked.Update(ref observed, list => list.Add(added));
        Added?.Invoke(added);
    }

    private static string ReasonOf(HandshakeProblem problem) => problem switch
    {
        HandshakeProblem.NotCertified => "not_certified",
        HandshakeProblem.Timeout => "timeout",
        HandshakeProblem.Closed => "closed",
        HandshakeProblem.Alpn => "alpn",
        HandshakeProblem.NoCertificate => "no_certificate",
        HandshakeProblem.Expired => "expired",
        HandshakeProblem.UnknownAuthority => "unknown_authority",
        HandshakeProblem.BadCertificate => "bad_certificate",
        HandshakeProblem.UnexpectedPeer => "unexpected_peer",
        HandshakeProblem.Revoked => "revoked",
        HandshakeProblem.Plaintext => "plaintext",
        _ => "protocol",
    };
}

/// <summary>A number that belongs to a part that may not know Telemetry: read when someone asks.</summary>
internal sealed record ObservedNumber(string Name, string Help, bool Grows, Func<double> Read);
