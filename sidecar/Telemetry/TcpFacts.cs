using Mesh.Sidecar.Balancing;
using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Telemetry;

/// <summary>
/// What is known of an opaque TCP connection: all that its metrics and its access log line are made of.
/// One per connection, owned by the TCP page; the two byte counters are written by its copiers (one writer each) and read at any time.
/// </summary>
internal sealed class TcpFacts
{
    /// <summary>Which way it goes.</summary>
    public Direction Direction;

    /// <summary>Begin, by <see cref="TimeProvider.GetTimestamp"/>.</summary>
    public long Started;

    /// <summary>End; 0 while it is open.</summary>
    public long Ended;

    /// <summary>Who called (this workload when outbound).</summary>
    public PeerLabels Source = PeerLabels.Unknown;

    /// <summary>Who answers (this workload when inbound).</summary>
    public PeerLabels Destination = PeerLabels.Unknown;

    /// <summary>How the connection to the other side was protected.</summary>
    public ConnectionSecurity Security;

    /// <summary>The service that was called.</summary>
    public ServiceLabels Service = ServiceLabels.None;

    /// <summary>Cluster chosen, or null.</summary>
    public Cluster? Cluster;

    /// <summary>Endpoint of the last try, or null.</summary>
    public Endpoint? Endpoint;

    /// <summary>What went wrong, <see cref="Failure.None"/> when nothing did.</summary>
    public Failure Failure;

    /// <summary>More about the failure, for the log; may be empty.</summary>
    public string FailureDetail = "";

    /// <summary>Bytes from the client to the upstream so far.</summary>
    public long ReceivedBytes;

    /// <summary>Bytes from the upstream to the client so far.</summary>
    public long SentBytes;

    /// <summary>Address of the client.</summary>
    public string DownstreamRemote = "";

    /// <summary>Our address.</summary>
    public string DownstreamLocal = "";

    /// <summary>Bytes already counted; only the telemetry sink touches these two.</summary>
    internal long CountedReceived;

    /// <summary>Bytes already counted; only the telemetry sink touches these two.</summary>
    internal long CountedSent;

    /// <summary>Series the connection counts on; set when it is reported as opened.</summary>
    internal TcpSeries? Series;
}
