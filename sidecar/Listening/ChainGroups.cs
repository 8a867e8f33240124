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
}
