using System.Net;
using System.Net.Sockets;
using static Mesh.Sidecar.Capture.Condition;

namespace Mesh.Sidecar.Capture;

/// <summary>Which of IPv4 and IPv6 a rule exists for. Pure.</summary>
internal static class RuleFamilies
{
    /// <summary>Whether the rule asks for addresses.</summary>
    public static bool IsAboutAddresses(CaptureRule rule) => rule.Conditions.Any(c => c is To or From);

    /// <summary>The families: both, unless all addresses of a condition are of one.</summary>
    public static IEnumerable<AddressFamily> Of(CaptureOptions options, CaptureRule rule)
    {
        if (IsFor(rule, AddressFamily.InterNetwork)) yield return AddressFamily.InterNetwork;
        if (options.Ipv6 && IsFor(rule, AddressFamily.InterNetworkV6)) yield return AddressFamily.InterNetworkV6;
    }

    /// <summary>The networks of one family.</summary>
    public static IEnumerable<IPNetwork> Only(IEnumerable<IPNetwork> networks, AddressFamily family) =>
        networks.Where(n => n.BaseAddress.AddressFamily == family);

    private static bool IsFor(CaptureRule rule, AddressFamily family) => rule.Conditions.All(c => c switch
    {
        To to => Only(to.Networks, family).Any(),
        From from => Only(from.Networks, family).Any(),
        _ => true,
    });
}
