using System.Collections.Concurrent;
using System.Net;
using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Listening;

/// <summary>
/// The destinations whose servers spoke first, as this sidecar heard them do: their next clients are not waited for before dialling. A verdict
/// decides nothing else: what a connection speaks is told by its own first bytes, whoever's they are. Each ends after <see cref="Lifetime"/>;
/// there are at most <see cref="Most"/>. Thread safe; lives as long as the data path.
/// </summary>
internal sealed class Verdicts(TimeProvider time)
{
    /// <summary>How long one holds after the server spoke first last.</summary>
    public static readonly TimeSpan Lifetime = TimeSpan.FromMinutes(10);

    /// <summary>Most that are kept.</summary>
    public const int Most = 1024;

    private readonly ConcurrentDictionary<VerdictKey, DateTimeOffset> until = new();
    private long learned;
    private long dropped;

    /// <summary>How often one was learned that was not there.</summary>
    public long Learned => Volatile.Read(ref learned);

    /// <summary>How often one was dropped since it was contradicted.</summary>
    public long Dropped => Volatile.Read(ref dropped);

    /// <summary>Those that hold, the newest first.</summary>
    public IReadOnlyList<(VerdictKey Of, DateTimeOffset Until)> All =>
        [.. until.Where(v => v.Value > time.GetUtcNow()).OrderByDescending(v => v.Value).Select(v => (v.Key, v.Value))];

    /// <summary>Whether the server spoke first there.</summary>
    public bool Has(VerdictKey key)
    {
        if (!until.TryGetValue(key, out var end)) return false;
        if (end > time.GetUtcNow()) return true;
        until.TryRemove(new KeyValuePair<VerdictKey, DateTimeOffset>(key, end));
        return false;
    }

    /// <summary>The server has spoken first.</summary>
    public void Learn(VerdictKey key)
    {
        var isNew = !until.ContainsKey(key);
        if (isNew && until.Count >= Most) MakeRoom();
        until[key] = time.GetUtcNow() + Lifetime;
        if (isNew) Interlocked.Increment(ref learned);
    }

    /// <summary>The server does not speak first there, after all.</summary>
    public void Drop(VerdictKey key)
    {
        if (until.TryRemove(key, out _)) Interlocked.Increment(ref dropped);
    }

    /// <summary>Forgets the tenth that was learned longest ago.</summary>
    private void MakeRoom()
    {
        foreach (var (key, _) in until.OrderBy(v => v.Value).Take(Most / 10)) until.TryRemove(key, out _);
    }
}

/// <summary>What a verdict is about: a service's port by its cluster, and, where that says nothing of it, the address that was meant.</summary>
/// <param name="Direction">Which way the traffic goes.</param>
/// <param name="Cluster">Where the bytes go.</param>
/// <param name="Address">The address that was meant; null where the cluster says it all.</param>
internal readonly record struct VerdictKey(Direction Direction, string Cluster, IPEndPoint? Address)
{
    /// <summary>The key of a connection whose bytes would go by <paramref name="bytes"/>.</summary>
    public static VerdictKey Of(ConnectionFacts facts, TcpProxyConfig bytes)
    {
        var cluster = bytes.Clusters.IsEmpty ? null : bytes.Clusters[0];
        return new(facts.Listener.Direction, cluster?.Name ?? "", cluster?.Cluster is { Kind: ClusterKind.Endpoints } ? null : facts.LocalEndPoint);
    }
}
