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
        var seen = Plain(seenAt);
        // On one machine an address of the loopback is as good as another: whoever sends from there listens there.
        return said.Equals(seen) || (IPAddress.IsLoopback(said) && IPAddress.IsLoopback(seen));
    }

    /// <summary>What is wrong with an address that is not, in words for whoever says it.</summary>
    public static string Problem(IPAddress said, IPAddress? seenAt) =>
        $"address {said} is not the workload's: its connection comes from {(seenAt is null ? "no IP address" : Plain(seenAt))}; make its join token with --address {said} if it is";

    // A socket of both families shows addresses of IPv4 as mapped ones.
    private static IPAddress Plain(IPAddress address) => address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;
}
