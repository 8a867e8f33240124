using System.Net;

namespace Mesh.ControlPlane.Model.Policies;

/// <summary>Whether an address that a workload says it has is its own: that of its connection, or one its join token grants. Pure.</summary>
internal static class OwnAddress
{
    /// <summary>True when it is.</summary>
    /// <param name="said">What it says.</param>
    /// <param name="seenAt">The address its connection comes from; null where it has none.</param>
    /// <param name="identity">The SPIFFE ID it proved.</param>
    /// <param name="authority">Knows the grants.</param>
    public static bool Is(IPAddress said, IPAddress? seenAt, string identity, ServiceAuthority authority)
    {
        if (authority.GrantOf(identity)?.Addresses is { } granted && granted.Any(text => IPAddress.TryParse(text, out var address) && address.Equals(said))) return true;
        if (seenAt is null) return false;
        var seen = seenAt.IsIPv4MappedToIPv6 ? seenAt.MapToIPv4() : seenAt;
        // On one machine an address of the loopback is as good as another: whoever sends from there listens there.
        return said.Equals(seen) || (IPAddress.IsLoopback(said) && IPAddress.IsLoopback(seen));
    }
}
