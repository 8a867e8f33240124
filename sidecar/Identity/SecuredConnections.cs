using System.Collections.Concurrent;
using System.Collections.Frozen;

namespace Mesh.Sidecar.Identity;

/// <summary>
/// Every open secured connection by who is at its other end, in both directions, so that a revoked identity's can be ended at once; and
/// the identities that are revoked. It costs a connection two dictionary operations, a request nothing. Thread safe.
/// </summary>
internal sealed class SecuredConnections
{
    private readonly ConcurrentDictionary<string, ConcurrentDictionary<TlsTransport, byte>> byPeer = new(StringComparer.Ordinal);
    private volatile FrozenSet<string> revoked = FrozenSet<string>.Empty;
    private int open;

    /// <summary>Connections that are open.</summary>
    public int Open => Volatile.Read(ref open);

    /// <summary>Identities that are revoked.</summary>
    public int Revoked => revoked.Count;

    /// <summary>Whether an identity is revoked.</summary>
    public bool IsRevoked(string id) => revoked.Contains(id);

    /// <summary>Follows a connection until it is closed. One whose peer was revoked in this moment is closed at once.</summary>
    public void Add(TlsTransport transport)
    {
        Interlocked.Increment(ref open);
        transport.OnClosed += Remove;
        Of(transport.Peer.Uri).TryAdd(transport, 0);
        if (IsRevoked(transport.Peer.Uri)) transport.Reset();
    }

    /// <summary>Takes the identities that are revoked from now on, and ends the connections of those; how many were ended.</summary>
    public int Revoke(IEnumerable<string> ids)
    {
        revoked = ids.ToFrozenSet(StringComparer.Ordinal);
        var ended = 0;
        foreach (var id in revoked)
        {
            if (!byPeer.TryGetValue(id, out var connections)) continue;
            foreach (var (transport, _) in connections)
            {
                transport.Reset();
                ended++;
            }
        }

        return ended;
    }

    private ConcurrentDictionary<TlsTransport, byte> Of(string id) => byPeer.GetOrAdd(id, static _ => new(concurrencyLevel: 1, capacity: 4));

    // Names stay when their last connection goes: there are as many as the authority has ever certified, and a race here would lose one.
    private void Remove(TlsTransport transport)
    {
        Interlocked.Decrement(ref open);
        if (byPeer.TryGetValue(transport.Peer.Uri, out var connections)) connections.TryRemove(transport, out _);
    }
}
