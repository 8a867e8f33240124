using System.Collections.Immutable;
using System.Net;
using static Mesh.Sidecar.Capture.Condition;

namespace Mesh.Sidecar.Capture;

/// <summary>
/// What NAT lets slip, and what the kernel does. NAT decides by the first packet of a connection, and connection tracking remembers ended ones for a while: a new connection
/// with the ports of one that ended by a reset is taken for the old one and goes where that went. Behind NAT these rules look at every opening
/// segment: what should have been captured and was not is refused, never let past. Pure.
/// </summary>
internal static class GuardRules
{
    private const string OnlyOpening = "only segments that open a connection";
    private const string Captured = "captured, as it should be";
    private static readonly Condition[] Opening = [new IsTcp(), new Opens(true)];

    /// <summary>
    /// The rules before all NAT: what listens on loopback alone is for this machine, also where <c>route_localnet</c> is set (kube-proxy does). IPv6 needs
    /// none: no kernel takes ::1 from a cable.
    /// </summary>
    public static readonly ImmutableArray<CaptureRule> Loopback =
    [
        new CaptureRule([new NotByLoopback(), new To([IPNetwork.Parse("127.0.0.0/8")])], Verdict.Drop, 0, "nobody elsewhere has business on loopback, and with net.ipv4 route_localnet=1 the kernel would let them in"),
    ];

    /// <summary>The rules behind the outbound chain.</summary>
    public static ImmutableArray<CaptureRule> Outbound(CaptureOptions o, ImmutableArray<CaptureRule> outbound)
    {
        var rules = ImmutableArray.CreateBuilder<CaptureRule>();
        // First, since every packet comes by here.
        rules.Add(new CaptureRule([new IsTcp(), new Opens(false)], Verdict.Leave, 0, OnlyOpening));
        if (o.VirtualRanges.Length > 0)
        {
            rules.Add(new CaptureRule([.. Opening, new To(o.VirtualRanges)], Verdict.Refuse, 0, "to a virtual address and not captured: there is nobody, so better at once than by a timeout"));
            rules.Add(new CaptureRule([new To(o.VirtualRanges)], Verdict.Reject, 0, "UDP and ping to a virtual address: the same"));
        }

        rules.Add(new CaptureRule([new NotTcp()], Verdict.Leave, 0, OnlyOpening));
        rules.Add(new CaptureRule(
            [.. Opening, new ToPorts([new PortRange(o.OutboundTo, o.OutboundTo)]), new Uids([o.ProxyUid]), new Redirected()], Verdict.Refuse, 0,
            "the sidecar's own connection, taken for an ended one of the application: it would come back to it"));
        rules.Add(new CaptureRule([new Redirected()], Verdict.Leave, 0, Captured));
        rules.AddRange(Behind(outbound));
        return rules.ToImmutable();
    }

    /// <summary>The rules behind the inbound chain.</summary>
    public static ImmutableArray<CaptureRule> Inbound(ImmutableArray<CaptureRule> inbound)
    {
        var capture = inbound[^1];
        return
        [
            new CaptureRule([new IsTcp(), new Opens(false), new Invalid(false)], Verdict.Leave, 0, "only opening segments, and those that make no sense"),
            new CaptureRule([new NotTcp()], Verdict.Leave, 0, OnlyOpening),
            new CaptureRule([new Redirected()], Verdict.Leave, 0, Captured),
            .. inbound[1..^1],
            capture with
            {
                Conditions = capture.Conditions.Add(new Invalid(true)),
                Verdict = Verdict.Drop,
                Value = 0,
                Reason = "NAT does not touch what makes no sense, and the application's reset of it would end the sidecar's connection",
            },
            .. Behind([capture]),
        ];
    }

    /// <summary>The same rules once more, with a refusal where they capture.</summary>
    private static IEnumerable<CaptureRule> Behind(ImmutableArray<CaptureRule> rules) =>
        from rule in rules
        where !rule.Conditions.Any(c => c is IsUdp or Opens)
        select rule.Verdict != Verdict.Redirect ? rule : rule with
        {
            Conditions = [.. Opening, .. rule.Conditions.Where(c => c is not IsTcp)],
            Verdict = Verdict.Refuse,
            Value = 0,
            Reason = "should have been captured, and was taken for an ended connection: refused, never past the sidecar",
        };
}
