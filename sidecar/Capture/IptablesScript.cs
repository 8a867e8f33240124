using System.Net.Sockets;
using System.Text;
using static Mesh.Sidecar.Capture.Condition;

namespace Mesh.Sidecar.Capture;

/// <summary>A plan in the language of iptables-restore, for one family: chains of our own, and a jump to each from the kernel's. Pure.</summary>
internal static class IptablesScript
{
    /// <summary>What all chains begin with.</summary>
    public const string Prefix = "MESH_";

    /// <summary>What those begin with that are there to be compared with, for a moment.</summary>
    public const string TwinPrefix = "MESHTWIN_";

    /// <summary>The chain that keeps the options; nothing leads to it.</summary>
    public const string OptionsChain = "OPTIONS";

    /// <summary>Ports that one "multiport" takes; a range counts twice.</summary>
    private const int MostPorts = 15;

    /// <summary>A comment's bytes beyond which it takes none.</summary>
    private const int MostComment = 240;

    /// <summary>Tables in the order in which they are set: what captures before what refuses the uncaptured.</summary>
    public static readonly CaptureTable[] Tables = [CaptureTable.Nat, CaptureTable.Mangle, CaptureTable.Filter];

    /// <summary>Name of a chain.</summary>
    public static string ChainName(string name, string prefix = Prefix) => prefix + name.ToUpperInvariant();

    /// <summary>Whether this is the name of a chain of ours: others may begin theirs like that, too.</summary>
    public static bool IsName(string name, string prefix) => CapturePlan.ChainNames.Any(c => ChainName(c, prefix) == name);

    /// <summary>The jump to a chain of ours.</summary>
    public static string Jump(CaptureChain chain) => $"{Hook(chain.Hook)} -j {ChainName(chain.Name)}";

    /// <summary>The chains of one table and their rules, without jumps: a line each.</summary>
    public static (List<string> Chains, List<string> Rules) Table(CapturePlan plan, CaptureTable table, AddressFamily family, string prefix = Prefix)
    {
        var (chains, rules) = (new List<string>(), new List<string>());
        if (table == CaptureTable.Nat)
        {
            chains.Add(ChainName(OptionsChain, prefix));
            rules.AddRange(CaptureFlags.Parts(plan.Options, MostComment).Select(p => $"-A {ChainName(OptionsChain, prefix)} -m comment --comment \"{p}\" -j RETURN"));
        }

        foreach (var chain in plan.Chains.Where(c => c.Table == table))
        {
            chains.Add(ChainName(chain.Name, prefix));
            foreach (var rule in chain.Rules.Where(r => RuleFamilies.Of(plan.Options, r).Contains(family)))
            {
                // There is no refusing in that table; TPROXY itself drops when nobody listens.
                if (table == CaptureTable.Mangle && rule.Verdict == Verdict.Refuse) continue;
                rules.AddRange(Lines(rule, chain.Hook, family).Select(line => $"-A {ChainName(chain.Name, prefix)}{line}"));
            }
        }

        return (chains, rules);
    }

    /// <summary>The whole input for a machine without rules of ours, as <c>show</c> writes it.</summary>
    public static string Whole(CapturePlan plan, AddressFamily family)
    {
        var text = new StringBuilder();
        foreach (var table in Tables)
        {
            var (chains, rules) = Table(plan, table, family);
            if (chains.Count == 0) continue;
            text.Append($"*{table.ToString().ToLowerInvariant()}\n");
            foreach (var chain in chains) text.Append($":{chain} - [0:0]\n");
            foreach (var rule in rules) text.Append(rule).Append('\n');
            foreach (var chain in plan.Chains.Where(c => c.Table == table)) text.Append($"-I {Hook(chain.Hook)} 1 -j {ChainName(chain.Name)}\n");
            text.Append("COMMIT\n");
        }

        return text.ToString();
    }

    /// <summary>The kernel's chain a chain of ours hangs on.</summary>
    public static string Hook(CaptureHook hook) => hook.ToString().ToUpperInvariant();

    /// <summary>A rule with lists becomes one line for each choice from them.</summary>
    private static IEnumerable<string> Lines(CaptureRule rule, CaptureHook hook, AddressFamily family)
    {
        IEnumerable<string> lines = [""];
        foreach (var condition in rule.Conditions)
        {
            var choices = Say(condition, hook, family).ToList();
            lines = lines.SelectMany(line => choices.Select(choice => $"{line} {choice}"));
        }

        return lines.Select(line => $"{line} -m comment --comment \"{rule.Reason}\" -j {Say(rule, family)}");
    }

    private static IEnumerable<string> Say(Condition condition, CaptureHook hook, AddressFamily family) => condition switch
    {
        IsTcp => ["-p tcp"],
        IsUdp => ["-p udp"],
        NotTcp => ["! -p tcp"],
        ToPorts c => Multiports(c).Select(m => $"-m multiport --dports {m}"),
        To c => RuleFamilies.Only(c.Networks, family).Select(n => $"-d {n}"),
        From c => RuleFamilies.Only(c.Networks, family).Select(n => $"-s {n}"),
        Uids c => c.Ids.Select(id => $"-m owner --uid-owner {id}"),
        Gid c => [$"-m owner --gid-owner {c.Id}"],
        InCgroup c => [$"-m cgroup --path {c.Path}"],
        By c => c.Interfaces.Select(i => $"{(hook == CaptureHook.Output ? "-o" : "-i")} {i}"),
        NotByLoopback => ["! -i lo"],
        ToOwn c => [$"-m addrtype {(c.Yes ? "" : "! ")}--dst-type LOCAL"],
        FromForeign => ["-m addrtype ! --src-type LOCAL"],
        Opens c => [$"{(c.Yes ? "" : "! ")}--tcp-flags FIN,SYN,RST,ACK SYN"],
        Redirected => ["-m conntrack --ctstate DNAT"],
        Invalid c => [$"-m conntrack {(c.Yes ? "" : "! ")}--ctstate INVALID"],
        IsReply => ["-m conntrack --ctdir REPLY"],
        ConnectionMark c => [$"-m connmark {(c.Yes ? "" : "! ")}--mark 0x{c.Mark:x}"],
        _ => throw new InvalidOperationException($"no words for {condition}"),
    };

    private static string Say(CaptureRule rule, AddressFamily family) => rule.Verdict switch
    {
        Verdict.Leave => "RETURN",
        Verdict.Redirect => $"REDIRECT --to-ports {rule.Value}",
        Verdict.Tproxy => $"TPROXY --on-port {rule.Value}",
        Verdict.Refuse => "REJECT --reject-with tcp-reset",
        Verdict.Reject => $"REJECT --reject-with {(family == AddressFamily.InterNetwork ? "icmp-admin-prohibited" : "icmp6-adm-prohibited")}",
        Verdict.Drop => "DROP",
        Verdict.MarkConnection => $"CONNMARK --set-mark 0x{rule.Value:x}",
        Verdict.MarkPacket => $"MARK --set-mark 0x{rule.Value:x}",
        _ => throw new InvalidOperationException($"no words for {rule.Verdict}"),
    };

    private static IEnumerable<string> Multiports(ToPorts condition)
    {
        var (part, size) = (new List<string>(), 0);
        foreach (var range in condition.Ports)
        {
            var needs = range.First == range.Last ? 1 : 2;
            if (size + needs > MostPorts)
            {
                yield return string.Join(',', part);
                (part, size) = ([], 0);
            }

            part.Add(needs == 1 ? $"{range.First}" : $"{range.First}:{range.Last}");
            size += needs;
        }

        if (part.Count > 0) yield return string.Join(',', part);
    }
}
