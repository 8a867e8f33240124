using System.Collections.Immutable;
using static Mesh.Sidecar.Capture.Condition;

namespace Mesh.Sidecar.Capture;

/// <summary>Which connections from elsewhere go to the sidecar. Pure; the order is the meaning.</summary>
internal static class InboundRules
{
    private const string Absent = "the sidecar is not there: refused, never past it";

    /// <summary>The rules of the NAT chain.</summary>
    public static ImmutableArray<CaptureRule> Redirect(CaptureOptions o) =>
    [
        new CaptureRule([new IsTcp(), new Opens(false)], Verdict.Leave, 0, OutboundRules.FromBefore),
        .. Exceptions(o),
        new CaptureRule(Captured(o), Verdict.Redirect, (uint)o.InboundTo, What(o)),
    ];

    /// <summary>The rules that hand inbound connections to a transparent socket, from their first packet on.</summary>
    public static ImmutableArray<CaptureRule> Tproxy(CaptureOptions o) =>
    [
        new CaptureRule([new NotTcp()], Verdict.Leave, 0, "only TCP is captured"),
        new CaptureRule([new IsTcp(), new ConnectionMark(CapturePlan.TakenMark, true)], Verdict.Tproxy, (uint)o.InboundTo, "a connection that is the sidecar's already"),
        new CaptureRule([new IsTcp(), new ConnectionMark(CapturePlan.TakenMark, true)], Verdict.Refuse, 0, Absent),
        new CaptureRule([new IsTcp(), new Opens(false)], Verdict.Leave, 0, OutboundRules.FromBefore),
        .. Exceptions(o),
        new CaptureRule(Captured(o), Verdict.MarkConnection, CapturePlan.TakenMark, "this connection is the sidecar's from its first packet on"),
        new CaptureRule(Captured(o), Verdict.Tproxy, (uint)o.InboundTo, What(o)),
        new CaptureRule(Captured(o), Verdict.Refuse, 0, Absent),
    ];

    /// <summary>How the answers of an application find the sidecar that dialled it with the client's address.</summary>
    public static ImmutableArray<CaptureRule> Answers(CaptureOptions o) =>
    [
        new CaptureRule(
            [new IsTcp(), new Uids([o.ProxyUid]), new By(["lo"]), new FromForeign()], Verdict.MarkConnection, CapturePlan.TransparentMark,
            "the sidecar dials the application with its client's address"),
        new CaptureRule(
            [new IsTcp(), new IsReply(), new ConnectionMark(CapturePlan.TransparentMark, true)], Verdict.MarkPacket, CapturePlan.TransparentMark,
            "the application's answer to that: back to the sidecar, not out to the client"),
    ];

    private static IEnumerable<CaptureRule> Exceptions(CaptureOptions o)
    {
        yield return Leave("what comes by loopback was sent here, and the outbound rules have seen it", new By(["lo"]));
        yield return Leave("for somebody else: a machine that forwards (containers, a router) only passes it on", new ToOwn(false));
        yield return Leave("the sidecar's own ports: scraped, probed and connected to as they are", new IsTcp(), new ToPorts(o.SidecarPorts));
        if (o.ExcludeInterfaces.Length > 0) yield return Leave("--exclude-interfaces", new By(o.ExcludeInterfaces));
        if (o.ExcludeInboundPorts.Length > 0) yield return Leave("--exclude-inbound-ports", new IsTcp(), new ToPorts(o.ExcludeInboundPorts));
    }

    private static ImmutableArray<Condition> Captured(CaptureOptions o)
    {
        var conditions = ImmutableArray.Create<Condition>(new IsTcp());
        if (o.InboundPorts is { } ports) conditions = conditions.Add(new ToPorts(ports));
        if (o.IncludeInterfaces.Length > 0) conditions = conditions.Add(new By(o.IncludeInterfaces));
        return conditions;
    }

    private static string What(CaptureOptions o) => (o.InboundPorts, o.IncludeInterfaces.Length > 0) switch
    {
        (null, false) => "every other TCP connection to this machine",
        (null, true) => "--include-interfaces",
        (_, false) => "--inbound-ports",
        _ => "--inbound-ports and --include-interfaces",
    };

    private static CaptureRule Leave(string reason, params ImmutableArray<Condition> conditions) => new(conditions, Verdict.Leave, 0, reason);
}
