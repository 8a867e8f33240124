using System.Collections.Immutable;
using System.Net;
using static Mesh.Sidecar.Capture.Condition;

namespace Mesh.Sidecar.Capture;

/// <summary>Which connections of this machine's programs go to the sidecar. Pure; the order is the meaning.</summary>
internal static class OutboundRules
{
    /// <summary>Why only opening segments are captured: connection tracking takes up running connections, too, when it begins with the rules.</summary>
    public const string FromBefore = "in the midst of a connection: one from before the rules stays as it is";

    private static readonly ImmutableArray<IPNetwork> OneLink = [IPNetwork.Parse("fe80::/10")];
    private static readonly ImmutableArray<IPNetwork> Loopback = [IPNetwork.Parse("127.0.0.0/8"), IPNetwork.Parse("::1/128")];

    /// <summary>The rules of the NAT chain.</summary>
    public static ImmutableArray<CaptureRule> Of(CaptureOptions o)
    {
        var rules = ImmutableArray.CreateBuilder<CaptureRule>();
        rules.Add(Leave(FromBefore, new IsTcp(), new Opens(false)));
        Own(o, rules);
        if (o.ExcludeUids.Length > 0) rules.Add(Leave("--exclude-uids", new Uids(o.ExcludeUids)));
        Dns(o, rules);
        rules.Add(Leave("this machine's loopback is nobody's network: programs that talk to themselves are left alone", new To(Loopback)));
        rules.Add(Leave("addresses of one link: the kernel cannot bring their connections to loopback, where the sidecar is", new To(OneLink)));
        Virtual(o, rules);
        rules.Add(Leave("the ports of this sidecar that take captured connections", new IsTcp(), new ToPorts(o.CapturePorts), new ToOwn(true)));
        rules.Add(Leave("this sidecar's control, metrics and readiness are asked as they are; elsewhere those numbers are anybody's", new IsTcp(), new ToPorts(o.OwnPorts), new ToOwn(true)));
        if (o.ExcludeInterfaces.Length > 0) rules.Add(Leave("--exclude-interfaces", new By(o.ExcludeInterfaces)));
        if (o.ExcludeOutboundPorts.Length > 0) rules.Add(Leave("--exclude-outbound-ports", new IsTcp(), new ToPorts(o.ExcludeOutboundPorts)));
        if (o.ExcludeOutboundCidrs.Length > 0) rules.Add(Leave("--exclude-outbound-cidrs", new To(o.ExcludeOutboundCidrs)));
        Capture(o, rules);
        return rules.ToImmutable();
    }

    /// <summary>First: what the sidecar itself sends.</summary>
    private static void Own(CaptureOptions o, ImmutableArray<CaptureRule>.Builder rules)
    {
        rules.Add(Leave("the sidecar talks to the application (and to DNS) over loopback", new Uids([o.ProxyUid]), new By(["lo"]), new To(Loopback)));
        rules.Add(new CaptureRule(
            [new IsTcp(), new Uids([o.ProxyUid]), new By(["lo"]), new From([new IPNetwork(CapturePlan.SelfCallSource, 32), IPNetwork.Parse("::1/128")])],
            Verdict.Redirect, (uint)o.InboundTo, "the sidecar calls this workload's own service: by the inbound port, like anybody; so it sees, too, that these rules are there"));
        rules.Add(Leave("what the sidecar sends is on its way: captured again it would go in circles", new Uids([o.ProxyUid])));
        rules.Add(Leave("the same by group, for helpers of the sidecar under another user", new Gid(o.ProxyGid)));
    }

    /// <summary>Before the exception for loopback, because a resolver may well be there (127.0.0.53).</summary>
    private static void Dns(CaptureOptions o, ImmutableArray<CaptureRule>.Builder rules)
    {
        if (!o.Dns || o.Resolvers is not { Length: > 0 } servers) return;
        var to = new To([.. servers.Select(Whole)]);
        var port = new ToPorts([new PortRange(53, 53)]);
        foreach (var who in Senders(o))
        {
            rules.Add(new CaptureRule([new IsUdp(), port, to, .. who], Verdict.Redirect, (uint)o.DnsTo, "DNS to a server of resolv.conf, and only to those: the sidecar knows the mesh's names"));
            rules.Add(new CaptureRule([new IsTcp(), port, to, .. who], Verdict.Redirect, (uint)o.DnsTo, "the same over TCP, which resolvers use for long answers"));
        }
    }

    /// <summary>Before what is left alone by port, address or interface: left alone, such a connection could only fail.</summary>
    private static void Virtual(CaptureOptions o, ImmutableArray<CaptureRule>.Builder rules)
    {
        if (o.VirtualRanges.Length == 0) return;
        foreach (var who in Senders(o)) rules.Add(Take(o, "a virtual address of a service: nobody but the sidecar can answer for it", [new IsTcp(), new To(o.VirtualRanges), .. who]));
    }

    /// <summary>Last: what is captured.</summary>
    private static void Capture(CaptureOptions o, ImmutableArray<CaptureRule>.Builder rules)
    {
        foreach (var who in Senders(o))
        {
            var (conditions, named) = (new List<Condition> { new IsTcp() }, new List<string>());
            if (o.OutboundPorts is { } ports)
            {
                if (ports.Length == 0) continue;
                conditions.Add(new ToPorts(ports));
                named.Add("--outbound-ports");
            }

            if (o.IncludeOutboundCidrs.Length > 0)
            {
                conditions.Add(new To(o.IncludeOutboundCidrs));
                named.Add("--include-outbound-cidrs");
            }

            if (o.IncludeInterfaces.Length > 0)
            {
                conditions.Add(new By([.. o.IncludeInterfaces, "lo"]));
                named.Add("--include-interfaces");
            }

            var what = named.Count > 0 ? string.Join(" and ", named) : "every other TCP connection, calls to this machine's own addresses included";
            rules.Add(Take(o, what, [.. conditions, .. who]));
        }
    }

    /// <summary>Whose traffic it is about: everybody's, or some users' and one cgroup's.</summary>
    private static IEnumerable<ImmutableArray<Condition>> Senders(CaptureOptions o)
    {
        if (!o.IsPartial) yield return [];
        if (o.OnlyUids.Length > 0) yield return [new Uids(o.OnlyUids)];
        if (o.Cgroup is { } cgroup) yield return [new InCgroup(cgroup)];
    }

    private static IPNetwork Whole(IPAddress address) => new(address, address.GetAddressBytes().Length * 8);

    private static CaptureRule Take(CaptureOptions o, string reason, ImmutableArray<Condition> conditions) =>
        new(conditions, Verdict.Redirect, (uint)o.OutboundTo, reason);

    private static CaptureRule Leave(string reason, params ImmutableArray<Condition> conditions) => new(conditions, Verdict.Leave, 0, reason);
}
