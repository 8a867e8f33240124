using Mesh.Sidecar.Config;
using Mesh.Sidecar.Identity;
using Mesh.Sidecar.Telemetry;

namespace Mesh.Sidecar.Listening;

/// <summary>
/// A connection to a server that was made before its client said anything. Whoever disposes it ends it, unless <see cref="Take"/> was called.
/// Owned by the acceptor's task for the client's connection.
/// </summary>
internal sealed class DialledAhead(ITransport transport, TcpFacts facts, TcpProxyConfig config) : IDisposable
{
    private bool isTaken;

    /// <summary>The connection.</summary>
    public EarlyTransport Transport { get; } = new(transport);

    /// <summary>What telemetry is to know of it.</summary>
    public TcpFacts Facts => facts;

    /// <summary>The connection, for whoever carries its bytes by <paramref name="now"/>; null when that does not lead there (any more). Once.</summary>
    public ITransport? Take(TcpProxyConfig now)
    {
        if (isTaken || !(ReferenceEquals(now, config) || now.Clusters.Any(c => c.Name == facts.Cluster?.Name))) return null;
        isTaken = true;
        return Transport;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (!isTaken) Transport.Dispose();
    }
}
