using System.Collections.Concurrent;
using System.Net;
using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Dns;

/// <summary>
/// The queries we have on their way ourselves, by the identifiers we gave them and the sockets they left from: so that one of them that arrives here is
/// known. That happens when rules capture this program's own packets, or when a resolv.conf names its socket. Thread safe; bounded by its users.
/// </summary>
internal sealed class OwnQueries
{
    private readonly ConcurrentDictionary<ushort, byte> identifiers = new();
    private readonly ConcurrentDictionary<(bool Tcp, Destination From), byte> leaving = new();

    /// <summary>An identifier nobody guesses, and no other query of ours has.</summary>
    public ushort Take()
    {
        while (true)
        {
            var id = (ushort)Unguessable.Number();
            if (identifiers.TryAdd(id, 0)) return id;
        }
    }

    /// <summary>An identifier is not in use any more.</summary>
    public void Return(ushort id) => identifiers.TryRemove(id, out _);

    /// <summary>A query leaves from this address and port.</summary>
    public Destination Leave(bool tcp, EndPoint local)
    {
        var from = Destination.Of((IPEndPoint)local);
        leaving.TryAdd((tcp, from), 0);
        return from;
    }

    /// <summary>Nothing of ours comes from there any more.</summary>
    public void Done(bool tcp, Destination from) => leaving.TryRemove((tcp, from), out _);

    /// <summary>True for a query of ours. The port alone says nothing: another program may have the same one of another address.</summary>
    public bool Has(ushort id, bool tcp, Destination from) => identifiers.ContainsKey(id) && leaving.ContainsKey((tcp, from));
}
