using System.Collections.Immutable;
using System.Globalization;

namespace Mesh.Sidecar.Capture;

/// <summary>
/// Reads and writes the options of <c>mesh-sidecar capture</c>, in the manner of <see cref="FlagParser"/>: a table, all errors, no reflection.
/// Written options are kept beside the rules in the kernel, so that check, show and remove know what was asked for. Pure.
/// </summary>
internal sealed class CaptureFlags
{
    private readonly List<string> errors = [];
    private readonly CaptureValues values;
    private bool namesFile;

    private static readonly ImmutableArray<Row> Rows =
    [
        new("mode", "redirect|tproxy", "how inbound connections are taken; tproxy keeps the client's address for the application; default redirect",
            (p, v) => p.Options = p.Options with { Mode = (CaptureMode)p.values.Choice("--mode", v, "redirect", "tproxy") }, o => o.Mode == CaptureMode.Redirect ? null : "tproxy"),
        new("proxy-uid", "UID", "user the sidecar runs as, never captured; default 1337",
            (p, v) => p.Options = p.Options with { ProxyUid = p.values.Id("--proxy-uid", v) }, o => Unless(o.ProxyUid, 1337u)),
        new("proxy-gid", "GID", "group the sidecar runs as, never captured; default 1337",
            (p, v) => p.Options = p.Options with { ProxyGid = p.values.Id("--proxy-gid", v) }, o => Unless(o.ProxyGid, 1337u)),
        new("inbound-ports", "PORTS|none", "capture inbound connections to these ports only: 80,8000-8100",
            (p, v) => p.Options = p.Options with { InboundPorts = v == "none" ? [] : p.values.Ports("--inbound-ports", v) }, o => o.InboundPorts is not { } l ? null : l.Length == 0 ? "none" : List(l)),
        new("exclude-inbound-ports", "PORTS", "never capture inbound connections to these",
            (p, v) => p.Options = p.Options with { ExcludeInboundPorts = p.values.Ports("--exclude-inbound-ports", v) }, o => List(o.ExcludeInboundPorts)),
        new("outbound-ports", "PORTS|none", "capture outbound connections to these ports only (virtual addresses always)",
            (p, v) => p.Options = p.Options with { OutboundPorts = v == "none" ? [] : p.values.Ports("--outbound-ports", v) }, o => o.OutboundPorts is not { } l ? null : l.Length == 0 ? "none" : List(l)),
        new("exclude-outbound-ports", "PORTS", "never capture outbound connections to these",
            (p, v) => p.Options = p.Options with { ExcludeOutboundPorts = p.values.Ports("--exclude-outbound-ports", v) }, o => List(o.ExcludeOutboundPorts)),
        new("include-outbound-cidrs", "CIDRS", "capture outbound connections to these addresses only (virtual addresses always): 10.0.0.0/8,fd00::/8",
            (p, v) => p.Options = p.Options with { IncludeOutboundCidrs = p.values.Networks("--include-outbound-cidrs", v) }, o => List(o.IncludeOutboundCidrs)),
        new("exclude-outbound-cidrs", "CIDRS", "never capture outbound connections to these addresses",
            (p, v) => p.Options = p.Options with { ExcludeOutboundCidrs = p.values.Networks("--exclude-outbound-cidrs", v) }, o => List(o.ExcludeOutboundCidrs)),
        new("include-interfaces", "NAMES", "capture only what comes or goes by these interfaces (and by lo)",
            (p, v) => p.Options = p.Options with { IncludeInterfaces = p.values.Interfaces("--include-interfaces", v) }, o => List(o.IncludeInterfaces)),
        new("exclude-interfaces", "NAMES", "never capture what comes or goes by these",
            (p, v) => p.Options = p.Options with { ExcludeInterfaces = p.values.Interfaces("--exclude-interfaces", v) }, o => List(o.ExcludeInterfaces)),
        new("exclude-uids", "UIDS", "never capture what these users send",
            (p, v) => p.Options = p.Options with { ExcludeUids = p.values.Ids("--exclude-uids", v) }, o => List(o.ExcludeUids)),
        new("only-uids", "UIDS", "capture only what these users send, for a host shared with others (also --uid); inbound only with --inbound-ports",
            (p, v) => p.Options = p.Options with { OnlyUids = p.values.Ids("--only-uids", v) }, o => List(o.OnlyUids)),
        new("cgroup", "PATH", "capture only what the processes of this cgroup (version 2) send, likewise",
            (p, v) => p.Options = p.Options with { Cgroup = p.values.CgroupPath(v) }, o => o.Cgroup),
        new("dns", "on|off", "capture queries to the servers of resolv.conf; default on",
            (p, v) => p.Options = p.Options with { Dns = p.values.Choice("--dns", v, "off", "on") == 1 }, o => o.Dns ? null : "off"),
        new("resolv-conf", "FILE", "where the DNS servers are named, default /etc/resolv.conf",
            (p, v) => (p.Options, p.namesFile) = (p.Options with { ResolvConf = p.values.Text("--resolv-conf", v) }, true),
            // With servers: that they are from that file, and what is to be said when it names others.
            o => o.Resolvers is null && o.ResolvConf == CaptureOptions.DefaultResolvConf ? null : o.ResolvConf),
        new("resolvers", "ADDRESSES", "the DNS servers themselves, instead of those of resolv.conf",
            (p, v) => p.Options = p.Options with { Resolvers = p.values.Addresses("--resolvers", v) }, o => o.Resolvers is { } l ? List(l) : null),
        new("virtual-range", "CIDRS|none", "addresses of services that have none, default 240.0.0.0/4,fd6d:6573:6800::/48 as the control plane's",
            (p, v) => p.Options = p.Options with { VirtualRanges = v == "none" ? [] : p.values.Networks("--virtual-range", v) },
            o => o.VirtualRanges.SequenceEqual([CaptureOptions.VirtualV4, CaptureOptions.VirtualV6]) ? null : o.VirtualRanges.Length == 0 ? "none" : List(o.VirtualRanges)),
        new("ipv6", "on|off", "capture IPv6; default on, where the kernel has it",
            (p, v) => p.Options = p.Options with { Ipv6 = p.values.Choice("--ipv6", v, "off", "on") == 1 }, o => o.Ipv6 ? null : "off"),
        new("outbound-to", "PORT", "port of the sidecar for outbound connections, default 15001",
            (p, v) => p.Options = p.Options with { OutboundTo = p.values.Port("--outbound-to", v) }, o => Unless(o.OutboundTo, 15001)),
        new("inbound-to", "PORT", "port of the sidecar for inbound connections, default 15006",
            (p, v) => p.Options = p.Options with { InboundTo = p.values.Port("--inbound-to", v) }, o => Unless(o.InboundTo, 15006)),
        new("dns-to", "PORT", "port of the sidecar for DNS, default 15053",
            (p, v) => p.Options = p.Options with { DnsTo = p.values.Port("--dns-to", v) }, o => Unless(o.DnsTo, 15053)),
        new("own-ports", "PORTS", "the sidecar's other ports, never captured, default 15000,15020-15021",
            (p, v) => p.Options = p.Options with { OwnPorts = p.values.Ports("--own-ports", v) }, o => o.OwnPorts.SequenceEqual(new CaptureOptions().OwnPorts) ? null : List(o.OwnPorts)),
        new("backend", "auto|nft|iptables", "program that sets the rules; default auto: nft where it works, else iptables",
            (p, v) => p.Backend = (CaptureBackend)p.values.Choice("--backend", v, "auto", "nft", "iptables"), _ => null),
        new("format", "text|nft|iptables", "of show; default text",
            (p, v) => p.Format = (CaptureFormat)p.values.Choice("--format", v, "text", "nft", "iptables"), _ => null),
    ];

    private CaptureFlags() => values = new CaptureValues(errors);

    /// <summary>What is to be captured.</summary>
    public CaptureOptions Options { get; private set; } = new();

    /// <summary>Which program.</summary>
    public CaptureBackend Backend { get; private set; }

    /// <summary>What show writes.</summary>
    public CaptureFormat Format { get; private set; }

    /// <summary>True when nothing was said about what is to be captured: then what is installed counts.</summary>
    public bool SaysNothing { get; private set; } = true;

    /// <summary>What is wrong with the arguments; the rest means something only when nothing is.</summary>
    public IReadOnlyList<string> Errors => errors;

    /// <summary>The options' part of the help.</summary>
    public static string Help { get; } = string.Concat(Rows.Select(r => $"  --{r.Name} {r.Value}\n      {r.Help}\n"));

    /// <summary>Reads arguments.</summary>
    public static CaptureFlags Parse(IReadOnlyList<string> args)
    {
        var flags = new CaptureFlags();
        for (var i = 0; i < args.Count; i++) flags.Argument(args, ref i);
        flags.Together();
        return flags;
    }

    /// <summary>The arguments that lead to these options, without those that are as by default.</summary>
    public static string Write(CaptureOptions options) =>
        string.Join(' ', Rows.Select(r => (r.Name, Value: r.Write(options))).Where(r => !string.IsNullOrEmpty(r.Value)).Select(r => $"--{r.Name}={r.Value}"));

    /// <summary>The same in parts of bounded length, at least one, for comments in the kernel.</summary>
    public static IEnumerable<string> Parts(CaptureOptions options, int most)
    {
        var text = "options " + Write(options);
        for (var at = 0; at < text.Length; at += most) yield return text.Substring(at, Math.Min(most, text.Length - at));
    }

    /// <summary>Options from the text that the parts make together; null when they are not such.</summary>
    public static CaptureOptions? Read(string parts)
    {
        if (!parts.StartsWith("options ", StringComparison.Ordinal)) return null;
        var flags = Parse(parts["options ".Length..].Split(' ', StringSplitOptions.RemoveEmptyEntries));
        return flags.errors.Count == 0 ? flags.Options : null;
    }

    private void Argument(IReadOnlyList<string> args, ref int i)
    {
        var arg = args[i];
        var equals = arg.IndexOf('=');
        var name = equals < 0 ? arg : arg[..equals];
        if (name == "--uid") name = "--only-uids";
        var row = Rows.FirstOrDefault(r => name.AsSpan().StartsWith("--") && name.AsSpan(2).SequenceEqual(r.Name));
        if (row is null) errors.Add($"{arg}: there is no such option of capture");
        else if (equals >= 0) row.Apply(this, arg[(equals + 1)..]);
        else if (i + 1 < args.Count) row.Apply(this, args[++i]);
        else errors.Add($"{name}: a value is missing: {row.Value}");
        SaysNothing &= row is null or { Name: "backend" or "format" };
    }

    /// <summary>What options mean only together.</summary>
    private void Together()
    {
        if (Options.Resolvers is not null && !namesFile) Options = Options with { ResolvConf = null };
        var ports = Options.SidecarPorts.SelectMany(r => Enumerable.Range(r.First, r.Last - r.First + 1)).ToList();
        if (ports.Count != ports.Distinct().Count()) errors.Add("--outbound-to, --inbound-to, --dns-to and --own-ports must be different ports");
        if (Options.OnlyUids.Contains(Options.ProxyUid)) errors.Add($"--only-uids names {Options.ProxyUid}, the sidecar's own user: its traffic cannot be captured");
        foreach (var uid in Options.OnlyUids.Intersect(Options.ExcludeUids)) errors.Add($"--only-uids and --exclude-uids both name {uid}");
        if (Options.Resolvers is { Length: 0 }) errors.Add("--resolvers names none; --dns off captures no queries");
        foreach (var network in Options.VirtualRanges.Where(n => n.PrefixLength == 0)) errors.Add($"--virtual-range {network} is every address there is");
    }

    private static string? Unless<T>(T value, T usual)
        where T : struct, IFormattable => value.Equals(usual) ? null : value.ToString(null, CultureInfo.InvariantCulture);

    private static string List<T>(ImmutableArray<T> values) => string.Join(',', values);

    private sealed record Row(string Name, string Value, string Help, Action<CaptureFlags, string> Apply, Func<CaptureOptions, string?> Write);
}
