using System.Collections.Immutable;
using System.Net;
using System.Net.Sockets;
using System.Text;
using static Mesh.Sidecar.Capture.Condition;

namespace Mesh.Sidecar.Capture;

/// <summary>A plan in the language of nft: one table that replaces the one before in one transaction. Pure.</summary>
internal static class NftScript
{
    /// <summary>Name of the table.</summary>
    public const string TableName = "mesh";

    /// <summary>Name of the table that is there to be compared with, for a moment.</summary>
    public const string TwinName = "mesh_twin";

    /// <summary>A comment's bytes beyond which the kernel takes no rule.</summary>
    public const int MostComment = 128;

    /// <summary>Runs before those of others (-100), who may have NAT of their own for the same packets: whoever is first decides.</summary>
    public const int NatPriority = -110;

    /// <summary>Family of the table: inet holds both.</summary>
    public static string FamilyOf(CapturePlan plan) => plan.Options.Ipv6 ? "inet" : "ip";

    /// <summary>The table alone. <paramref name="dormant"/>: no packet sees it; it is there to be compared with.</summary>
    public static string Table(CapturePlan plan, string name = TableName, bool dormant = false)
    {
        var text = new StringBuilder($"table {FamilyOf(plan)} {name} {{\n");
        if (dormant) text.Append("\tflags dormant\n");
        text.Append("\tchain options {\n");
        foreach (var part in CaptureFlags.Parts(plan.Options, MostComment)) text.Append($"\t\treturn comment \"{part}\"\n");
        text.Append("\t}\n");
        foreach (var chain in plan.Chains) Write(text, plan, chain);
        return text.Append("}\n").ToString();
    }

    /// <summary>What nft is given: the table before is gone and the new one there in the same moment.</summary>
    public static string Replace(CapturePlan plan) => Removal(FamilyOf(plan)) + Table(plan);

    /// <summary>Removes the table; no error when it is not there.</summary>
    public static string Removal(string family, string table = TableName) => $"table {family} {table}\ndelete table {family} {table}\n";

    private static void Write(StringBuilder text, CapturePlan plan, CaptureChain chain)
    {
        var (type, priority) = (chain.Table, chain.Hook) switch
        {
            (CaptureTable.Nat, _) => ("nat", NatPriority),
            (CaptureTable.Mangle, CaptureHook.Output) => ("route", -150),
            (CaptureTable.Mangle, _) => ("filter", -150),
            _ => ("filter", 0),
        };
        text.Append($"\n\tchain {chain.Name} {{\n\t\ttype {type} hook {chain.Hook.ToString().ToLowerInvariant()} priority {priority}; policy accept;\n");
        foreach (var rule in chain.Rules)
        {
            foreach (var family in Families(plan, rule)) text.Append($"\t\t{Line(chain, rule, family, plan.Options.Ipv6)} comment \"{rule.Reason}\"\n");
        }

        text.Append("\t}\n");
    }

    /// <summary>A rule about addresses is one of their family, in a table of both.</summary>
    private static IEnumerable<AddressFamily?> Families(CapturePlan plan, CaptureRule rule)
    {
        if (RuleFamilies.IsAboutAddresses(rule) || rule.Verdict == Verdict.Tproxy) return RuleFamilies.Of(plan.Options, rule).Select(f => (AddressFamily?)f);
        return [null];
    }

    private static string Line(CaptureChain chain, CaptureRule rule, AddressFamily? family, bool bothFamilies)
    {
        var words = new List<string>();
        if (rule.Verdict == Verdict.Tproxy && !RuleFamilies.IsAboutAddresses(rule) && bothFamilies) words.Add($"meta nfproto {(family == AddressFamily.InterNetwork ? "ipv4" : "ipv6")}");
        var protocol = rule.Conditions.Any(c => c is IsUdp) ? "udp" : "tcp";
        // tcp flags and tcp dport say by themselves that it is TCP.
        var implied = rule.Conditions.Any(c => c is ToPorts or Opens);
        foreach (var condition in rule.Conditions)
        {
            if (condition is IsTcp or IsUdp && implied) continue;
            words.Add(Say(condition, chain.Hook, protocol, family));
        }

        words.Add(Say(rule, family, bothFamilies));
        return string.Join(' ', words);
    }

    private static string Say(Condition condition, CaptureHook hook, string protocol, AddressFamily? family) => condition switch
    {
        IsTcp or IsUdp => $"meta l4proto {protocol}",
        NotTcp => "meta l4proto != tcp",
        ToPorts c => $"{protocol} dport {Set(c.Ports)}",
        To c => $"{Ip(family)} daddr {Set(RuleFamilies.Only(c.Networks, family!.Value).Select(Address))}",
        From c => $"{Ip(family)} saddr {Set(RuleFamilies.Only(c.Networks, family!.Value).Select(Address))}",
        Uids c => $"meta skuid {Set(c.Ids)}",
        Gid c => $"meta skgid {c.Id}",
        InCgroup c => $"socket cgroupv2 level {c.Path.Split('/', StringSplitOptions.RemoveEmptyEntries).Length} \"{c.Path.Trim('/')}\"",
        By c => $"{(hook == CaptureHook.Output ? "oifname" : "iifname")} {Set(c.Interfaces.Select(i => $"\"{i}\""))}",
        NotByLoopback => "iifname != \"lo\"",
        ToOwn c => $"fib daddr type {(c.Yes ? "" : "!= ")}local",
        FromForeign => "fib saddr type != local",
        Opens c => $"tcp flags & (fin | syn | rst | ack) {(c.Yes ? "==" : "!=")} syn",
        Redirected => "ct status dnat",
        Invalid c => c.Yes ? "ct state invalid" : "ct state != invalid",
        IsReply => "ct direction reply",
        ConnectionMark c => $"ct mark {(c.Yes ? "" : "!= ")}0x{c.Mark:x}",
        _ => throw new InvalidOperationException($"no words for {condition}"),
    };

    private static string Say(CaptureRule rule, AddressFamily? family, bool bothFamilies) => rule.Verdict switch
    {
        Verdict.Leave => "return",
        Verdict.Redirect => $"counter redirect to :{rule.Value}",
        Verdict.Tproxy => $"{(bothFamilies ? $"tproxy {Ip(family)}" : "tproxy")} to :{rule.Value} counter accept",
        Verdict.Refuse => "counter reject with tcp reset",
        Verdict.Reject => $"counter reject with {(family is null ? "icmpx type" : family == AddressFamily.InterNetwork ? "icmp type" : "icmpv6 type")} admin-prohibited",
        Verdict.Drop => "counter drop",
        Verdict.MarkConnection => $"ct mark set 0x{rule.Value:x}",
        Verdict.MarkPacket => $"meta mark set 0x{rule.Value:x}",
        _ => throw new InvalidOperationException($"no words for {rule.Verdict}"),
    };

    private static string Ip(AddressFamily? family) => family == AddressFamily.InterNetworkV6 ? "ip6" : "ip";

    private static string Address(IPNetwork network) =>
        network.PrefixLength == network.BaseAddress.GetAddressBytes().Length * 8 ? network.BaseAddress.ToString() : network.ToString();

    private static string Set<T>(IEnumerable<T> elements)
    {
        var all = elements.Select(e => e!.ToString()!).Distinct(StringComparer.Ordinal).ToImmutableArray();
        return all.Length == 1 ? all[0] : $"{{ {string.Join(", ", all)} }}";
    }
}
