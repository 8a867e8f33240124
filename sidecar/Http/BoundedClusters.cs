using System.Collections.Concurrent;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Http.Upstream;

namespace Mesh.Sidecar.Http;

/// <summary>
/// Clusters of one endpoint each, made when they are asked for, so that connections to it are pooled like others: for a bounded number of
/// destinations; those not asked for lately make room for others. Thread safe; lives as long as the data path.
/// </summary>
internal sealed class BoundedClusters<TKey>(TimeProvider time)
    where TKey : notnull
{
    private const int MostKnown = 1000;
    private static readonly TimeSpan RoomEvery = TimeSpan.FromSeconds(10);
    private readonly ConcurrentDictionary<TKey, Known> known = new();
    private long roomMade = time.GetTimestamp();

    /// <summary>
    /// The cluster of a key. <paramref name="make"/> gets true when nothing of it will be kept: beyond the bound a destination is dialled anew
    /// each time, slower, and never refused.
    /// </summary>
    public Cluster Of(TKey key, Func<TKey, bool, Cluster> make)
    {
        var now = time.GetTimestamp();
        if (known.TryGetValue(key, out var found))
        {
            found.LastUsed = now;
            return found.Cluster;
        }

        if (known.Count >= MostKnown) MakeRoom(now);
        return known.Count >= MostKnown ? make(key, true) : known.GetOrAdd(key, new Known(make(key, false)) { LastUsed = now }).Cluster;
    }

    /// <summary>Forgets what was not asked for as long as its connections may wait. One thread at a time, and not for each request.</summary>
    private void MakeRoom(long now)
    {
        var last = Volatile.Read(ref roomMade);
        if (time.GetElapsedTime(last, now) < RoomEvery || Interlocked.CompareExchange(ref roomMade, now, last) != last) return;
        foreach (var (key, one) in known)
        {
            if (time.GetElapsedTime(one.LastUsed, now) >= Http1Pool.IdleBound) known.TryRemove(key, out _);
        }
    }

    /// <summary>A destination; races of its timestamp do not matter.</summary>
    private sealed class Known(Cluster cluster)
    {
        private long lastUsed;

        public Cluster Cluster => cluster;

        public long LastUsed
        {
            get => Volatile.Read(ref lastUsed);
            set => Volatile.Write(ref lastUsed, value);
        }
    }
}
