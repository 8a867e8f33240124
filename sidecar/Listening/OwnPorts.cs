using System.Collections.Immutable;
using System.Net;
using System.Net.Sockets;
using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Listening;

/// <summary>
/// The ports of this sidecar that are for nobody's traffic: its listeners by the newest snapshot, and the surfaces for people and machines.
/// Tells which destinations would bring traffic back into it, or make it the way to what only its own host may reach. Thread safe.
/// </summary>
internal sealed class OwnPorts(LocalAddresses local, TimeProvider time)
{
    private ImmutableArray<IPEndPoint> surfaces = [];

    /// <summary>The connections that this sidecar has just begun.</summary>
    public OwnDials Dials { get; } = new(time);

    /// <summary>This host's addresses.</summary>
    public LocalAddresses Local => local;

    /// <summary>Adds ports that are no listeners: admin, metrics, readiness, DNS.</summary>
    public void Add(params ReadOnlySpan<IPEndPoint?> bound)
    {
        foreach (var one in bound)
        {
            if (one is not null) ImmutableInterlocked.Update(ref surfaces, (list, added) => list.Add(added), one);
        }
    }

    /// <summary>
    /// True when dialling <paramref name="to"/> would loop: outbound traffic to an outbound listener, inbound traffic to any listener, either
    /// to a surface. (Outbound traffic to an own inbound listener is a workload that calls itself; at the port that captures it nobody is served.)
    /// </summary>
    public bool LeadsBack(Snapshot snapshot, IPEndPoint to, Direction direction)
    {
        foreach (var listener in snapshot.Listeners)
        {
            if (listener is null || listener.Address.Port != to.Port) continue;
            if (direction == Direction.Outbound && listener is { Direction: Direction.Inbound, IsCaptured: false, IsTransparent: false }) continue;
            if (SameHost(listener.Address.Address, to.Address)) return true;
        }

        foreach (var surface in surfaces)
        {
            if (surface.Port == to.Port && SameHost(surface.Address, to.Address)) return true;
        }

        return false;
    }

    private bool SameHost(IPAddress listening, IPAddress dialled)
    {
        if (dialled.IsIPv4MappedToIPv6) dialled = dialled.MapToIPv4();
        // Linux connects the unspecified address to this host.
        if (dialled.Equals(IPAddress.Any)) dialled = IPAddress.Loopback;
        if (dialled.Equals(IPAddress.IPv6Any)) dialled = IPAddress.IPv6Loopback;
        if (listening.Equals(dialled)) return true;
        var everywhere = listening.Equals(IPAddress.IPv6Any) || (listening.Equals(IPAddress.Any) && dialled.AddressFamily == AddressFamily.InterNetwork);
        return everywhere && local.Has(dialled);
    }
}
