using System.Net;
using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Listening;

/// <summary>
/// Says which captured connections are not passed on. Inbound: a sidecar is the way to its own application and to nothing else, or it would be an
/// open relay with its host's address. Outbound: what it sends itself must not come back to it. Thread safe; owned by the data path.
/// </summary>
internal sealed class CaptureGate(OwnPorts own)
{
    /// <summary>Why a connection that came to a capturing listener is refused; null when it may go on.</summary>
    public CaptureRefusal? Check(Snapshot snapshot, Listener listener, IPEndPoint? original, IPEndPoint? client)
    {
        if (!(listener.IsCaptured || listener.IsTransparent)) return null;
        if (listener.Direction == Direction.Outbound)
        {
            return original is not null && client is not null && own.Dials.Has(client, original)
                ? new("loop", $"it is this sidecar's own connection to {original}: the rules capture it, so it does not run as the user or group they leave alone (--proxy-uid, --proxy-gid)")
                : null;
        }

        if (original is null) return new("not_redirected", "it was made to the port that captures inbound traffic, which serves nobody by itself");
        if (IPAddress.IsLoopback(original.Address) && !(client is not null && IPAddress.IsLoopback(OriginalDestination.Unmapped(client).Address)))
            return new("loopback", $"it was sent to {original}, which is for this host alone, and came from elsewhere");
        // The unspecified address can be bound, and is nobody's.
        if (original.Address.Equals(IPAddress.Any) || original.Address.Equals(IPAddress.IPv6Any) || !own.Local.Has(original.Address))
            return new("foreign_address", $"it was sent to {original}, which is no address of this host");
        return own.LeadsBack(snapshot, original, Direction.Inbound) ? new("own_port", $"it was sent to {original}, a port of this sidecar itself") : null;
    }
}

/// <summary>Why a captured connection is not served.</summary>
/// <param name="Reason">Label of its counter.</param>
/// <param name="Text">The same in words.</param>
internal sealed record CaptureRefusal(string Reason, string Text);
