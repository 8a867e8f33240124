using System.Collections.Immutable;
using System.Net;
using System.Net.Sockets;

namespace Mesh.Sidecar.Capture;

/// <summary>Everything that has to be in the kernel for a workload to be captured, whatever program puts it there. Immutable; made of options alone.</summary>
internal sealed record CapturePlan(CaptureOptions Options, ImmutableArray<CaptureChain> Chains, ImmutableArray<CaptureRoute> Routes)
{
    /// <summary>Mark of connections that the sidecar opened with the address of somebody else, and of their answers.</summary>
    public const uint TransparentMark = 1337;

    /// <summary>Mark of inbound connections that the sidecar has had from their first packet on.</summary>
    public const uint TakenMark = 1338;

    /// <summary>Routing table of marked answers; also the "protocol" that says a route or a routing rule is ours.</summary>
    public const int RoutingTable = 133;

    /// <summary>
    /// Source address by which the sidecar says that its connection to this machine's own address is a call to a service, and has to arrive like
    /// anybody's: at the inbound port. Without it the connection is the last hop, to the application. IPv6 has no second loopback address: ::1 there.
    /// </summary>
    public static readonly IPAddress SelfCallSource = IPAddress.Parse("127.15.0.6");

    /// <summary>Names of all chains that any plan has, and of the one that keeps the options: only what bears these is ours.</summary>
    public static readonly ImmutableArray<string> ChainNames = ["options", "outbound", "outbound_guard", "inbound", "inbound_guard", "inbound_tproxy", "answers", "loopback_guard"];

    /// <summary>Makes the plan of options whose resolvers are known.</summary>
    public static CapturePlan From(CaptureOptions options)
    {
        var chains = ImmutableArray.CreateBuilder<CaptureChain>();
        var outbound = OutboundRules.Of(options);
        chains.Add(new CaptureChain("outbound", CaptureTable.Nat, CaptureHook.Output, outbound));
        chains.Add(new CaptureChain("outbound_guard", CaptureTable.Filter, CaptureHook.Output, GuardRules.Outbound(options, outbound)));
        if (options.CapturesInbound && options.Mode == CaptureMode.Redirect)
        {
            var inbound = InboundRules.Redirect(options);
            chains.Add(new CaptureChain("inbound", CaptureTable.Nat, CaptureHook.Prerouting, inbound));
            chains.Add(new CaptureChain("inbound_guard", CaptureTable.Filter, CaptureHook.Input, GuardRules.Inbound(inbound)));
        }
        else if (options.CapturesInbound)
        {
            chains.Add(new CaptureChain("inbound_tproxy", CaptureTable.Mangle, CaptureHook.Prerouting, InboundRules.Tproxy(options)));
            chains.Add(new CaptureChain("answers", CaptureTable.Mangle, CaptureHook.Output, InboundRules.Answers(options)));
        }

        // Last, and so first where both are: iptables puts each jump before those that are there.
        chains.Add(new CaptureChain("loopback_guard", CaptureTable.Mangle, CaptureHook.Prerouting, GuardRules.Loopback));
        return new CapturePlan(options, chains.ToImmutable(), RoutesOf(options));
    }

    /// <summary>Whether a route is one of the plan's.</summary>
    public bool Needs(CaptureRoute route) => Routes.Any(route.IsSame);

    private static ImmutableArray<CaptureRoute> RoutesOf(CaptureOptions options)
    {
        var routes = options.VirtualRanges.Where(n => options.Ipv6 || n.BaseAddress.AddressFamily == AddressFamily.InterNetwork)
            .Select(n => new CaptureRoute(n, false, "rules see a packet only when it has a route; by lo, so that none to a virtual address ever leaves")).ToList();
        if (!options.CapturesInbound || options.Mode != CaptureMode.Tproxy) return [.. routes];
        const string Why = "the application's answers to a client's address come back to the sidecar that used it";
        routes.Add(new CaptureRoute(new IPNetwork(IPAddress.Any, 0), true, Why));
        if (options.Ipv6) routes.Add(new CaptureRoute(new IPNetwork(IPAddress.IPv6Any, 0), true, Why));
        return [.. routes];
    }
}
