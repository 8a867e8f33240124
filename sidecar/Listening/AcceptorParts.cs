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

    /// <summary>Serves an opaque connection to its end.</summary>
    public required Func<ITransport, ConnectionFacts, TcpProxyConfig, Task> Tcp { get; init; }

    /// <summary>Serves a connection that begins with CONNECT to its end.</summary>
    public required Func<Socket, ConnectionFacts, HttpConnectionManager, Task> Connect { get; init; }

    /// <summary>Serves an HTTP connection in plaintext to its end; the last argument says HTTP/2.</summary>
    public required Func<OpenConnection, ConnectionFacts, bool, Task> Http { get; init; }

    /// <summary>Serves an HTTP connection whose TLS ended here to its end; whether it is HTTP/2, null when nobody knows yet.</summary>
    public required Func<OpenConnection, ConnectionFacts, bool?, TlsTransport, Task> SecuredHttp { get; init; }

    /// <summary>What captured inbound connections may not do.</summary>
    public required InboundGate Gate { get; init; }

    /// <summary>What handshakes need.</summary>
    public required Security Security { get; init; }

    /// <summary>Bound of open connections.</summary>
    public required ConnectionLimit Limit { get; init; }

    /// <summary>The sidecar's own numbers.</summary>
    public required SidecarMetrics Metrics { get; init; }

    /// <summary>The clock.</summary>
    public required TimeProvider Time { get; init; }

    /// <summary>The log.</summary>
    public required Log Log { get; init; }
}

/// <summary>Bounds the connections that are open at once, so that descriptors are left for upstreams. Thread safe.</summary>
internal sealed class ConnectionLimit(int most)
{
    private int open;

    /// <summary>The limit for this process: what is wanted, but at most a quarter of the descriptors it may have.</summary>
    public static ConnectionLimit For(int wanted) => new(Math.Max(16, Math.Min(wanted, Descriptors() / 4)));

    private static int Descriptors()
    {
        const int Usual = 65536;
        try
        {
            // "Max open files            1024                 524288               files"; the runtime has raised the first to the second.
            var line = File.ReadLines("/proc/self/limits").FirstOrDefault(l => l.StartsWith("Max open files", StringComparison.Ordinal));
            var columns = line?.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            return columns is { Length: > 3 } && int.TryParse(columns[3], out var soft) ? soft : Usual;
        }
        catch (IOException)
        {
            return Usual;
        }
    }

    /// <summary>True when one more may be open; each that entered must leave.</summary>
    public bool TryEnter()
    {
        if (Interlocked.Increment(ref open) <= most) return true;
        Interlocked.Decrement(ref open);
        return false;
    }

    /// <summary>One has ended.</summary>
    public void Leave() => Interlocked.Decrement(ref open);
}
