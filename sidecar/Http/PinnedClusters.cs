using System.Net;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Listening;
using Mesh.Sidecar.Tcp;

namespace Mesh.Sidecar.Http;

/// <summary>
/// Clusters for requests that go where their connection was meant to go (ORIGINAL_DST): of the one endpoint there, shared by all connections to
/// it. Where the application is to see its clients' addresses, by all connections of one client. Thread safe; lives as long as the data path.
/// </summary>
internal sealed class PinnedClusters(TimeProvider time)
{
    private readonly BoundedClusters<Pin> clusters = new(time);

    /// <summary>The cluster for a captured connection, which remembers it: its next request finds it without a lookup.</summary>
    public Cluster ClusterFor(ConnectionFacts connection, Cluster template)
    {
        if (connection.Pinned is { } last && ReferenceEquals(last.State, template.State)) return last;
        var pin = new Pin(connection.Original!, connection.ClientAddress, template.State);
        return connection.Pinned = clusters.Of(pin, (p, passing) => template.Of(OriginalEndpoint.Of(p.To, p.Client, passing), template.State));
    }

    private sealed record Pin(IPEndPoint To, IPAddress? Client, ClusterState State);
}
