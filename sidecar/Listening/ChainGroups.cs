using System.Net;
using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Listening;

/// <summary>
/// The chains for a connection's destination: those its listener has for the address and port, else, for what an application sends, those of
/// the instance that is there. Pure.
/// </summary>
internal static class ChainGroups
{
    /// <summary>
    /// The chains for a destination; null when nobody knows it. <paramref name="original"/> is null for a connection that was not captured.
    /// <paramref name="isInstance"/> says that an instance's own address was meant.
    /// </summary>
    public static ChainGroup? For(Snapshot snapshot, Listener listener, IPEndPoint? original, IPEndPoint destination, out bool isInstance)
    {
        isInstance = false;
        if (listener.GroupOf(destination) is { } group) return group;
        if (original is null || listener.Direction == Direction.Inbound || snapshot.Instances.Find(original) is not { } instance) return null;
        isInstance = true;
        return instance.Chains;
    }

    /// <summary>
    /// The chains for what has none of its own. A captured connection out to nobody we know is served by none of them: whether it may go on is
    /// asked when it comes (<see cref="AcceptorParts.Unknown"/>), and a connection whose chain has gone meanwhile must not get around that.
    /// </summary>
    public static ChainGroup Rest(Listener listener, IPEndPoint? original) => IsForUnknown(listener, original) ? ChainGroup.None : listener.Rest;

    /// <summary>Whether what has no chain of its own is a connection to a destination nobody knows.</summary>
    public static bool IsForUnknown(Listener listener, IPEndPoint? original) =>
        original is not null && listener is { Direction: Direction.Outbound, DefaultChain: { Tcp: not null, Tls: null } };
}
