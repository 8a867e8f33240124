using System.Net.Sockets;
using System.Text;
using System.Text.RegularExpressions;

namespace Mesh.Sidecar.Capture;

/// <summary>Rules by iptables and ip6tables: chains of our own, each table replaced in one go by iptables-restore. Stateless.</summary>
/// <param name="variant">"" for what the system calls iptables, else "-legacy" or "-nft".</param>
internal sealed partial class IptablesBackend(string variant = "") : ICaptureBackend
{
    /// <inheritdoc/>
    public string Name => $"iptables{variant}";

    /// <summary>Whether its rules are those of the older kind, which are beside nftables, not in it.</summary>
    public bool IsLegacy => ExternalCommand.Run($"iptables{variant}-save", ["--version"]).Output.Contains("legacy", StringComparison.Ordinal);

    /// <summary>Whether iptables is there and this kernel answers it; else why not.</summary>
    public static string? WhyNot(string variant = "")
    {
        if (ExternalCommand.Find($"iptables{variant}-restore") is null) return $"iptables{variant} is not installed";
        var answer = ExternalCommand.Run($"iptables{variant}-save", []);
        return answer.ExitCode == 0 ? null : $"iptables{variant} does not work here: {answer.Error.Trim()}";
    }

    /// <inheritdoc/>
    public InstalledRules? Read()
    {
        var ours = Families().SelectMany(f => Save(f).Where(l => l.IsOf(IptablesScript.Prefix)).Select(l => (Family: f, Line: l))).ToList();
        if (ours.Count == 0) return null;
        var options = string.Concat(ours.Where(o => o.Family == AddressFamily.InterNetwork).Select(o => OptionsPart().Match(o.Line.Text)).Where(m => m.Success).Select(m => m.Groups["text"].Value));
        return new InstalledRules(CaptureFlags.Read(options), Text(ours.Select(o => (o.Family, o.Line))));
    }

    /// <inheritdoc/>
    public string Listing(CapturePlan plan)
    {
        var lines = new List<(AddressFamily, SavedLine)>();
        foreach (var family in Families(plan))
        {
            Restore(family, Twin(plan, family));
            try
            {
                lines.AddRange(Save(family).Where(l => l.IsOf(IptablesScript.TwinPrefix))
                    .Select(l => (family, l with { Text = l.Text.Replace(IptablesScript.TwinPrefix, IptablesScript.Prefix, StringComparison.Ordinal) })));
            }
            finally
            {
                Restore(family, TwinRemoval(plan, family));
            }

            // The last one is put before the others.
            lines.AddRange(plan.Chains.Reverse().Select(c => (family, new SavedLine(c.Table.ToString().ToLowerInvariant(), $"-A {IptablesScript.Jump(c)}"))));
        }

        return Text(lines);
    }

    /// <inheritdoc/>
    public void Apply(CapturePlan plan)
    {
        if (plan.Options.Ipv6 && CaptureSystem.HasIpv6 && !HasIp6tables()) throw new CaptureException($"{Program(AddressFamily.InterNetworkV6, "restore")} is not installed, and this machine has IPv6: --ipv6 off captures IPv4 alone");
        var before = Read()?.Options;
        Set(AddressFamily.InterNetwork, plan);
        if (!Families().Contains(AddressFamily.InterNetworkV6)) return;
        try
        {
            Set(AddressFamily.InterNetworkV6, plan.Options.Ipv6 ? plan : null);
        }
        catch (CaptureException)
        {
            // Both families or none.
            Set(AddressFamily.InterNetwork, before is null ? null : CapturePlan.From(before));
            throw;
        }
    }

    /// <inheritdoc/>
    public void Remove()
    {
        foreach (var family in Families()) Set(family, null);
    }

    /// <summary>One family's rules in place of those that are there; null: none.</summary>
    private void Set(AddressFamily family, CapturePlan? plan)
    {
        var there = Save(family).Where(l => l.IsOf(IptablesScript.Prefix) || l.IsOf(IptablesScript.TwinPrefix)).ToList();
        // What refuses the uncaptured goes before what captures.
        var tables = plan is null ? IptablesScript.Tables.Reverse() : IptablesScript.Tables;
        Restore(family, string.Concat(tables.Select(t => Replacement(plan, t, family, [.. there.Where(l => l.Table == t.ToString().ToLowerInvariant())]))));
    }

    private static string Replacement(CapturePlan? plan, CaptureTable table, AddressFamily family, List<SavedLine> there)
    {
        var (chains, rules) = plan is null ? ([], []) : IptablesScript.Table(plan, table, family);
        var stale = there.Where(l => l.IsChain).Select(l => l.Chain).Except(chains, StringComparer.Ordinal).ToList();
        if (chains.Count + stale.Count + there.Count == 0) return "";
        var text = new StringBuilder($"*{table.ToString().ToLowerInvariant()}\n");
        // Naming a chain empties it.
        foreach (var chain in chains.Concat(stale)) text.Append($":{chain} - [0:0]\n");
        foreach (var jump in there.Where(l => l.IsJump)) text.Append($"-D{jump.Text[2..]}\n");
        foreach (var rule in rules) text.Append(rule).Append('\n');
        foreach (var chain in plan?.Chains.Where(c => c.Table == table) ?? []) text.Append($"-I {IptablesScript.Hook(chain.Hook)} 1 -j {IptablesScript.ChainName(chain.Name)}\n");
        foreach (var chain in stale) text.Append($"-X {chain}\n");
        return text.Append("COMMIT\n").ToString();
    }

    private static string Twin(CapturePlan plan, AddressFamily family) => string.Concat(IptablesScript.Tables.Select(t =>
    {
        var (chains, rules) = IptablesScript.Table(plan, t, family, IptablesScript.TwinPrefix);
        return Section(t, [.. chains.Select(c => $":{c} - [0:0]"), .. rules]);
    }));

    private static string TwinRemoval(CapturePlan plan, AddressFamily family) => string.Concat(IptablesScript.Tables.Select(t =>
    {
        var (chains, _) = IptablesScript.Table(plan, t, family, IptablesScript.TwinPrefix);
        return Section(t, [.. chains.Select(c => $":{c} - [0:0]"), .. chains.Select(c => $"-X {c}")]);
    }));

    private static string Section(CaptureTable table, List<string> lines) =>
        lines.Count == 0 ? "" : $"*{table.ToString().ToLowerInvariant()}\n{string.Join('\n', lines)}\nCOMMIT\n";

    /// <summary>The families in which there may be rules, in use or not.</summary>
    private IEnumerable<AddressFamily> Families()
    {
        yield return AddressFamily.InterNetwork;
        if (CaptureSystem.KnowsIpv6 && HasIp6tables()) yield return AddressFamily.InterNetworkV6;
    }

    private IEnumerable<AddressFamily> Families(CapturePlan plan) => Families().Where(f => f == AddressFamily.InterNetwork || plan.Options.Ipv6);

    private bool HasIp6tables() => ExternalCommand.Find(Program(AddressFamily.InterNetworkV6, "restore")) is not null;

    private string Program(AddressFamily family, string suffix) => $"{(family == AddressFamily.InterNetwork ? "iptables" : "ip6tables")}{variant}-{suffix}";

    private List<SavedLine> Save(AddressFamily family)
    {
        var answer = ExternalCommand.Run(Program(family, "save"), []);
        if (answer.ExitCode != 0) throw new CaptureException($"{Program(family, "save")}: {answer.Error.Trim()}");
        var (lines, table) = (new List<SavedLine>(), "");
        foreach (var line in answer.Output.Split('\n'))
        {
            if (line.StartsWith('*')) table = line[1..].Trim();
            else if (line.StartsWith(':') || line.StartsWith("-A ", StringComparison.Ordinal)) lines.Add(new SavedLine(table, line.Trim(), IsBehind(table, line)));
        }

        // Of NAT's rules the first that fits decides, so ours have to be before others' (a rule put in front later, as kube-proxy does).
        bool IsBehind(string nat, string rule) => nat == "nat" && rule.StartsWith('-') && lines is [.., { IsChain: false } before] && before.Table == nat && before.Chain == rule.Split(' ')[1];

        return lines;
    }

    private void Restore(AddressFamily family, string script)
    {
        if (script.Length == 0) return;
        var answer = ExternalCommand.Run(Program(family, "restore"), ["--noflush", "-w", "10"], script);
        if (answer.ExitCode != 0) throw new CaptureException(Explain(Program(family, "restore"), answer.Error, script));
    }

    private static string Explain(string program, string error, string script)
    {
        var said = $"{program}: {string.Join(' ', error.Split('\n', StringSplitOptions.RemoveEmptyEntries).Where(l => !l.StartsWith("Try ", StringComparison.Ordinal)))}";
        if (FailedLine().Match(error) is not { Success: true } at) return said;
        var lines = script.Split('\n');
        var number = int.Parse(at.Groups["line"].ValueSpan, System.Globalization.CultureInfo.InvariantCulture);
        if (number < 1 || number > lines.Length) return said;
        var line = lines[number - 1];
        // Some tell only that the table as a whole was not taken.
        if (line == "COMMIT") line = string.Join('\n', lines[Array.FindLastIndex(lines, number - 1, l => l.StartsWith('*'))..(number - 1)]);
        var missing = KernelParts.Missing(line) is { } part ? $": perhaps {part}" : "";
        return line.Contains('\n', StringComparison.Ordinal) ? said + missing : $"{said} (at \"{line}\"){missing}";
    }

    /// <summary>Without counters and without what else differs from one listing to the next.</summary>
    private static string Text(IEnumerable<(AddressFamily Family, SavedLine Line)> lines) => string.Concat(lines
        .Where(l => !l.Line.IsChain)
        .GroupBy(l => $"{(l.Family == AddressFamily.InterNetwork ? "ip" : "ip6")} {l.Line.Table} {l.Line.Chain}", StringComparer.Ordinal)
        .OrderBy(g => g.Key, StringComparer.Ordinal)
        .SelectMany(g => g.Select(l => $"{g.Key}: {l.Line.Text}{(l.Line is { IsBehind: true, IsJump: true } ? ", behind rules of others" : "")}"))
        .Select(l => l + "\n"));

    /// <summary>A line of iptables-save: a chain's declaration or a rule.</summary>
    /// <param name="Table">Its table.</param>
    /// <param name="Text">The line.</param>
    /// <param name="IsBehind">Not the first rule of a chain of NAT.</param>
    private sealed record SavedLine(string Table, string Text, bool IsBehind = false)
    {
        public bool IsChain => Text.StartsWith(':');

        public string Chain => Text.TrimStart(':').Split(' ')[IsChain ? 0 : 1];

        /// <summary>From a chain of others to one of ours.</summary>
        public bool IsJump => !IsChain && !IptablesScript.IsName(Chain, IptablesScript.Prefix) && IptablesScript.IsName(Target, IptablesScript.Prefix);

        private string Target => Text.Split(" -j ") is [_, .., var rest] ? rest.Split(' ')[0] : "";

        public bool IsOf(string prefix) => IptablesScript.IsName(Chain, prefix) || (!IsChain && IptablesScript.IsName(Target, prefix));
    }

    [GeneratedRegex("-A MESH_OPTIONS .*--comment \"?(?<text>[^\"]*)\"? -j RETURN", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex OptionsPart();

    [GeneratedRegex(@"line:? (?<line>\d+)", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex FailedLine();
}
