using System.Net.Sockets;
using Mesh.Api.Logging;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Identity;
using Mesh.Sidecar.Telemetry;

namespace Mesh.Sidecar.Listening;

/// <summary>What all acceptors work with; made once by the data path.</summary>
internal sealed record AcceptorParts
{
    /// <summary>The configuration.</summary>
    public required Snapshots Snapshots { get; init; }

    /// <summary>Serves an opaque connection to its end, with the server's connection where one was made ahead.</summary>
    public required Func<ITransport, ConnectionFacts, TcpProxyConfig, DialledAhead?, Task> Tcp { get; init; }

    /// <summary>Connects to where an opaque connection would go, before its client has spoken; null when it may not go there or cannot.</summary>
    public required Func<ConnectionFacts, TcpProxyConfig, CancellationToken, Task<DialledAhead?>> DialAhead { get; init; }

    /// <summary>Where servers speak first.</summary>
    public required Verdicts Verdicts { get; init; }

    /// <summary>Who may speak mutual TLS.</summary>
    public required MeshPeers Peers { get; init; }

    /// <summary>Serves a connection that begins with CONNECT to its end.</summary>
    public required Func<Socket, ConnectionFacts, HttpConnectionManager, Task> Connect { get; init; }

    /// <summary>Serves a captured connection to a destination nobody knows to its end.</summary>
    public required Func<OpenConnection, ConnectionFacts, TcpProxyConfig, Task> Unknown { get; init; }

    /// <summary>Serves an HTTP connection in plaintext to its end; the last argument says HTTP/2.</summary>
    public required Func<OpenConnection, ConnectionFacts, bool, Task> Http { get; init; }

    /// <summary>Serves an HTTP connection whose TLS ended here to its end; whether it is HTTP/2, null when nobody knows yet.</summary>
    public required Func<OpenConnection, ConnectionFacts, bool?, TlsTransport, Task> SecuredHttp { get; init; }

    /// <summary>Takes connections that this sidecar makes to itself to see whether they come back.</summary>
    public Func<Socket, bool> IsProbe { get; init; } = _ => false;

    /// <summary>What captured connections may not do.</summary>
    public required CaptureGate Gate { get; init; }

    /// <summary>What handshakes need.</summary>
    public required Security Security { get; init; }

    /// <summary>Bounds of open connections.</summary>
    public required ConnectionLimits Limits { get; init; }

    /// <summary>The handshakes of clients that run.</summary>
    public required OngoingHandshakes Handshakes { get; init; }

    /// <summary>The sidecar's own numbers.</summary>
    public required SidecarMetrics Metrics { get; init; }

    /// <summary>The clock.</summary>
    public required TimeProvider Time { get; init; }

    /// <summary>The log.</summary>
    public required Log Log { get; init; }
}
