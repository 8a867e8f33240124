using System.Diagnostics;
using Mesh.Sidecar.Balancing;
using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Telemetry;

/// <summary>
/// What is known of a request when it ends: all that metrics, access log and spans are made of.
/// One per request, reused by its owner (the exchange); valid only during the call that hands it over.
/// </summary>
public sealed class RequestFacts
{
    /// <summary>Which way it went.</summary>
    public Direction Direction;

    /// <summary>Begin, by <see cref="TimeProvider.GetTimestamp"/>.</summary>
    public long Started;

    /// <summary>End.</summary>
    public long Ended;

    /// <summary>Who called (this workload when outbound).</summary>
    public PeerLabels Source = PeerLabels.Unknown;

    /// <summary>Who answered (this workload when inbound).</summary>
    public PeerLabels Destination = PeerLabels.Unknown;

    /// <summary>How the connection to the other side was protected.</summary>
    public ConnectionSecurity Security;

    /// <summary>The service that was called.</summary>
    public ServiceLabels Service = ServiceLabels.None;

    /// <summary>Route taken, or null.</summary>
    public Route? Route;

    /// <summary>Cluster chosen, or null.</summary>
    public Cluster? Cluster;

    /// <summary>Endpoint of the last try, or null.</summary>
    public Endpoint? Endpoint;

    /// <summary>True for gRPC.</summary>
    public bool Grpc;

    /// <summary>Status sent to the client; 0 when the connection ended before one.</summary>
    public int Status;

    /// <summary>gRPC status from the trailers, or -1.</summary>
    public int GrpcStatus = -1;

    /// <summary>What went wrong, <see cref="Failure.None"/> when nothing did.</summary>
    public Failure Failure;

    /// <summary>More about the failure, for the log; may be empty.</summary>
    public string FailureDetail = "";

    /// <summary>Key of the policy that refused it, <c>none</c> when no ALLOW policy matched; empty when none refused it.</summary>
    public string DeniedBy = "";

    /// <summary>Body bytes from the client.</summary>
    public long RequestBytes;

    /// <summary>Body bytes to the client.</summary>
    public long ResponseBytes;

    /// <summary>Tries made; 1 without a retry.</summary>
    public int Attempts;

    /// <summary>Method.</summary>
    public string Method = "";

    /// <summary>Target as it was sent.</summary>
    public string Path = "";

    /// <summary>Host as it was sent.</summary>
    public string Authority = "";

    /// <summary><c>HTTP/1.1</c> and the like.</summary>
    public string Protocol = "";

    /// <summary>x-request-id, kept or made.</summary>
    public string RequestId = "";

    /// <summary>traceparent that was sent upstream.</summary>
    public string TraceParent = "";

    /// <summary>Time upstream took until its response head, in timestamp ticks; 0 when there was none.</summary>
    public long UpstreamTicks;

    /// <summary>Address of the client.</summary>
    public string DownstreamRemote = "";

    /// <summary>Our address.</summary>
    public string DownstreamLocal = "";

    /// <summary>User-Agent, for the log; may be empty.</summary>
    public string UserAgent = "";

    /// <summary>X-Forwarded-For, for the log; may be empty.</summary>
    public string ForwardedFor = "";

    /// <summary>The request's span from <c>Spans.Start</c>, or null; the sink ends it.</summary>
    public Activity? Span;
}
