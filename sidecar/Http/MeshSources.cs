using System.Collections.Concurrent;
using Mesh.Sidecar.Balancing;
using Mesh.Sidecar.Listening;
using Mesh.Sidecar.Telemetry;

namespace Mesh.Sidecar.Http;

/// <summary>
/// Reads the x-mesh-source field of other sidecars: a hint for labels, not an identity. Labels are interned and bounded, so that nobody
/// can fill the memory with names. Thread safe.
/// </summary>
internal sealed class MeshSources
{
    private const int MostKnown = 1000;
    private readonly ConcurrentDictionary<string, PeerLabels> known = new(StringComparer.Ordinal);

    /// <summary>The field a sidecar sends for its workload.</summary>
    public static string FieldOf(PeerLabels self) => $"{self.Workload};{self.Namespace};{self.Service};{self.Version}";

    /// <summary>The labels of a caller; the connection remembers the last ones, since a connection's requests nearly always come from one workload.</summary>
    public PeerLabels Of(string? field, ConnectionFacts connection)
    {
        if (field is null) return connection.Caller;
        if (connection.LastSource is { } last && last.Field == field) return last.Labels;
        var labels = IsBelieved(field, connection) ? Find(field) : PeerLabels.Unknown;
        labels = labels == PeerLabels.Unknown ? connection.Caller : ProvenLabels.Of(labels, connection.Peer?.Uri);
        connection.LastSource = new KnownSource(field, labels);
        return labels;
    }

    /// <summary>
    /// A caller that proved who it is may not say that it is of another namespace; one that proved nothing is not believed where it could have.
    /// </summary>
    private static bool IsBelieved(string field, ConnectionFacts connection)
    {
        if (connection.Peer is not { } peer) return !connection.TakesMutualTls;
        return field.Split(';') is [_, var ns, ..] && string.Equals(peer.Namespace, ns, StringComparison.Ordinal);
    }

    private PeerLabels Find(string field)
    {
        if (known.TryGetValue(field, out var labels)) return labels;
        var parts = field.Split(';');
        if (parts.Length != 4 || field.Length > 512 || known.Count >= MostKnown) return PeerLabels.Unknown;
        return known.GetOrAdd(field, new PeerLabels(parts[0], parts[1], parts[2], parts[3]));
    }
}
