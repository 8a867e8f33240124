using System.Collections.Immutable;
using System.Security.Cryptography.X509Certificates;

namespace Mesh.Sidecar.Config;

/// <summary>
/// Everything the data path reads, as one immutable value. Built off the hot path from a complete set of xDS resources and
/// published with one volatile write; a request reads it once.
/// </summary>
public sealed class Snapshot
{
    /// <summary>Nothing configured.</summary>
    public static Snapshot Empty { get; } = new();

    /// <summary>Grows by one with each published snapshot.</summary>
    public long Number { get; init; }

    /// <summary>Listeners by slot (<see cref="Listener.Slot"/>); null where a listener was removed.</summary>
    public ImmutableArray<Listener?> Listeners { get; init; } = [];

    /// <summary>All clusters by name, for names, admin and telemetry. The data path of traffic has direct references.</summary>
    public ImmutableArray<Cluster> Clusters { get; init; } = [];

    /// <summary>The instances of services by their own addresses.</summary>
    internal InstanceIndex Instances { get; init; } = InstanceIndex.Empty;

    /// <summary>Which addresses are the mesh's own; null while nobody has said.</summary>
    internal MeshRanges? Ranges { get; init; }

    /// <summary>The names of the mesh; null while nobody has said.</summary>
    internal NameTable? Names { get; init; }

    /// <summary>The cluster of a name; null when there is none.</summary>
    internal Cluster? ClusterOf(string name)
    {
        var (low, high) = (0, Clusters.Length - 1);
        while (low <= high)
        {
            var middle = (low + high) / 2;
            var order = string.CompareOrdinal(Clusters[middle].Name, name);
            if (order == 0) return Clusters[middle];
            if (order < 0) low = middle + 1;
            else high = middle - 1;
        }

        return null;
    }

    /// <summary>All route tables, for admin.</summary>
    public ImmutableArray<RouteTable> RouteTables { get; init; } = [];

    /// <summary>Version of each resource type as last accepted, for admin and logs.</summary>
    public ImmutableSortedDictionary<string, string> Versions { get; init; } = ImmutableSortedDictionary<string, string>.Empty;
}

/// <summary>
/// Whom the control plane says to believe. Not part of a snapshot: it holds at once, whatever else is still missing. Immutable.
/// </summary>
/// <param name="Roots">The roots; empty when it sent none.</param>
/// <param name="Revoked">Identities that are revoked, sorted.</param>
/// <param name="IssuingRoot">SHA-256 (hex) of the root under which certificates are issued now; empty when it did not say.</param>
public sealed record MeshTrust(ImmutableArray<X509Certificate2> Roots, ImmutableArray<string> Revoked, string IssuingRoot = "")
{
    /// <summary>Nothing said.</summary>
    public static MeshTrust None { get; } = new([], []);
}

/// <summary>Holds the current snapshot. One writer (the config loop), any number of readers.</summary>
public sealed class Snapshots
{
    private volatile Snapshot current = Snapshot.Empty;

    /// <summary>The newest snapshot.</summary>
    public Snapshot Current => current;

    /// <summary>Raised after a swap, on the config loop. Handlers must not block.</summary>
    public event Action<Snapshot>? Changed;

    /// <summary>Raised when the control plane says whom to believe, on the config loop. Handlers must not block.</summary>
    public event Action<MeshTrust>? TrustChanged;

    /// <summary>Tells whom to believe.</summary>
    public void Tell(MeshTrust trust) => TrustChanged?.Invoke(trust);

    /// <summary>Swaps the snapshot: the one write that makes a new configuration serve.</summary>
    public void Publish(Snapshot next)
    {
        current = next;
        Changed?.Invoke(next);
    }
}
