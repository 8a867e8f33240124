using System.Collections.Immutable;
using System.Globalization;
using System.Net;

namespace Mesh.Sidecar.Capture;

/// <summary>The programs that can put rules into the kernel.</summary>
internal enum CaptureBackend
{
    /// <summary>nft where it is there and works, else iptables.</summary>
    Auto,

    /// <summary>nftables.</summary>
    Nft,

    /// <summary>iptables and ip6tables.</summary>
    Iptables,
}

/// <summary>What <c>capture show</c> writes.</summary>
internal enum CaptureFormat
{
    /// <summary>For a reader: each rule with its reason.</summary>
    Text,

    /// <summary>Input of <c>nft -f</c>.</summary>
    Nft,

    /// <summary>Input of <c>iptables-restore</c>, then of <c>ip6tables-restore</c>.</summary>
    Iptables,
}

/// <summary>
/// Reads and writes the options of <c>mesh-sidecar capture</c>, in the manner of <see cref="FlagParser"/>: a table, all errors, no reflection.
/// Written options are kept beside the rules in the kernel, so that check, show and remove know what was asked for. Pure.
/// </summary>
internal sealed class CaptureFlags
{
    private readonly List<string> errors = [];
    private bool namesFile;

    private static readonly ImmutableArray<Row> Rows =
    [
        new("mode", "redirect|tproxy", "how inbound connections are taken; tproxy keeps the client's address for the application; default redirect",
            (p, v) => p.Options = p.Options with { Mode = (CaptureMode)p.Choice("--mode", v, "redirect", "tproxy") }, o => o.Mode == CaptureMode.Redirect ? null : "tproxy"),
        new("proxy-uid", "UID", "user the sidecar runs as, never captured; default 1337",
            (p, v) => p.Options = p.Options with { ProxyUid = p.Id("--proxy-uid", v) }, o => Unless(o.ProxyUid, 1337u)),
        new("proxy-gid", "GID", "group the sidecar runs as, never captured; default 1337",
            (p, v) => p.Options = p.Options with { ProxyGid = p.Id("--proxy-gid", v) }, o => Unless(o.ProxyGid, 1337u)),
        new("inbound-ports", "PORTS|none", "capture inbound connections to these ports only: 80,8000-8100",
            (p, v) => p.Options = p.Options with { InboundPorts = v == "none" ? [] : p.Ports("--inbound-ports", v) }, o => o.InboundPorts is not { } l ? null : l.Length == 0 ? "none" : List(l)),
        new("exclude-inbound-ports", "PORTS", "never capture inbound connections to these",
            (p, v) => p.Options = p.Options with { ExcludeInboundPorts = p.Ports("--exclude-inbound-ports", v) }, o => List(o.ExcludeInboundPorts)),
        new("outbound-ports", "PORTS|none", "capture outbound connections to these ports only (virtual addresses always)",
            (p, v) => p.Options = p.Options with { OutboundPorts = v == "none" ? [] : p.Ports("--outbound-ports", v) }, o => o.OutboundPorts is not { } l ? null : l.Length == 0 ? "none" : List(l)),
        new("exclude-outbound-ports", "PORTS", "never capture outbound connections to these",
            (p, v) => p.Options = p.Options with { ExcludeOutboundPorts = p.Ports("--exclude-outbound-ports", v) }, o => List(o.ExcludeOutboundPorts)),
        new("include-outbound-cidrs", "CIDRS", "capture outbound connections to these addresses only (virtual addresses always): 10.0.0.0/8,fd00::/8",
            (p, v) => p.Options = p.Options with { IncludeOutboundCidrs = p.Networks("--include-outbound-cidrs", v) }, o => List(o.IncludeOutboundCidrs)),
        new("exclude-outbound-cidrs", "CIDRS", "never capture outbound connections to these addresses",
            (p, v) => p.Options = p.Options with { ExcludeOutboundCidrs = p.Networks("--exclude-outbound-cidrs", v) }, o => List(o.ExcludeOutboundCidrs)),
        new("include-interfaces", "NAMES", "capture only what comes or goes by these interfaces (and by lo)",
            (p, v) => p.Options = p.Options with { IncludeInterfaces = p.Interfaces("--include-interfaces", v) }, o => List(o.IncludeInterfaces)),
        new("exclude-interfaces", "NAMES", "never capture what comes or goes by these",
            (p, v) => p.Options = p.Options with { ExcludeInterfaces = p.Interfaces("--exclude-interfaces", v) }, o => List(o.ExcludeInterfaces)),
        new("exclude-uids", "UIDS", "never capture what these users send",
            (p, v) => p.Options = p.Options with { ExcludeUids = p.Ids("--exclude-uids", v) }, o => List(o.ExcludeUids)),
        new("only-uids", "UIDS", "capture only what these users send, for a host shared with others (also --uid); inbound only with --inbound-ports",
            (p, v) => p.Options = p.Options with { OnlyUids = p.Ids("--only-uids", v) }, o => List(o.OnlyUids)),
        new("cgroup", "PATH", "capture only what the processes of this cgroup (version 2) send, likewise",
            (p, v) => p.Options = p.Options with { Cgroup = p.CgroupPath(v) }, o => o.Cgroup),
        new("dns", "on|off", "capture queries to the servers of resolv.conf; default on",
            (p, v) => p.Options = p.Options with { Dns = p.Choice("--dns", v, "off", "on") == 1 }, o => o.Dns ? null : "off"),
        new("resolv-conf", "FILE", "where the DNS servers are named, default /etc/resolv.conf",
            (p, v) => (p.Options, p.namesFile) = (p.Options with { ResolvConf = p.Text("--resolv-conf", v) }, true),
            // With servers: that they are from that file, and what is to be said when it names others.
            o => o.Resolvers is null && o.ResolvConf == CaptureOptions.DefaultResolvConf ? null : o.ResolvConf),
        new("resolvers", "ADDRESSES", "the DNS servers themselves, instead of those of resolv.conf",
            (p, v) => p.Options = p.Options with { Resolvers = p.Addresses("--resolvers", v) }, o => o.Resolvers is { } l ? List(l) : null),
        new("virtual-range", "CIDRS|none", "addresses of services that have none, default 240.0.0.0/4,fd6d:6573:6800::/48 as the control plane's",
            (p, v) => p.Options = p.Options with { VirtualRanges = v == "none" ? [] : p.Networks("--virtual-range", v) },
            o => o.VirtualRanges.SequenceEqual([CaptureOptions.VirtualV4, CaptureOptions.VirtualV6]) ? null : o.VirtualRanges.Length == 0 ? "none" : List(o.VirtualRanges)),
        new("ipv6", "on|off", "capture IPv6; default on, where the kernel has it",
            (p, v) => p.Options = p.Options with { Ipv6 = p.Choice("--ipv6", v, "off", "on") == 1 }, o => o.Ipv6 ? null : "off"),
        new("outbound-to", "PORT", "port of the sidecar for outbound connections, default 15001",
            (p, v) => p.Options = p.Options with { OutboundTo = p.Port("--outbound-to", v) }, o => Unless(o.OutboundTo, 15001)),
        new("inbound-to", "PORT", "port of the sidecar for inbound connections, default 15006",
            (p, v) => p.Options = p.Options with { InboundTo = p.Port("--inbound-to", v) }, o => Unless(o.InboundTo, 15006)),
        new("dns-to", "PORT", "port of the sidecar for DNS, default 15053",
            (p, v) => p.Options = p.Options with { DnsTo = p.Port("--dns-to", v) }, o => Unless(o.DnsTo, 15053)),
        new("own-ports", "PORTS", "the sidecar's other ports, never captured, default 15000,15020-15021",
            (p, v) => p.Options = p.Options with { OwnPorts = p.Ports("--own-ports", v) }, o => o.OwnPorts.SequenceEqual(new CaptureOptions().OwnPorts) ? null : List(o.OwnPorts)),
        new("backend", "auto|nft|iptables", "program that sets the rules; default auto: nft where it works, else iptables",
            (p, v) => p.Backend = (CaptureBackend)p.Choice("--backend", v, "auto", "nft", "iptables"), _ => null),
        new("format", "text|nft|iptables", "of show; default text",
            (p, v) => p.Format = (CaptureFormat)p.Choice("--format", v, "text", "nft", "iptables"), _ => null),
    ];

    private CaptureFlags()
    {
    }

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

    private ImmutableArray<T> Each<T>(string flag, string text, Func<string, T?> read, string what)
        where T : struct
    {
        var found = ImmutableArray.CreateBuilder<T>();
        foreach (var part in text.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            if (read(part) is { } value) found.Add(value);
            else errors.Add($"{flag}: \"{part}\" is not {what}");
        }

        if (found.Count == 0 && errors.Count == 0) errors.Add($"{flag}: names nothing");
        return [.. found.Distinct()];
    }

    private ImmutableArray<PortRange> Ports(string flag, string text) => Merge(Each<PortRange>(flag, text, static part =>
    {
        var dash = part.Split('-', ':');
        if (dash.Length > 2 || !ushort.TryParse(dash[0], NumberStyles.None, CultureInfo.InvariantCulture, out var first)) return null;
        if (!ushort.TryParse(dash[^1], NumberStyles.None, CultureInfo.InvariantCulture, out var last)) return null;
        return first > 0 && first <= last ? new PortRange(first, last) : null;
    }, "a port or a range such as 8000-8100"));

    /// <summary>In order and without overlaps: a set of nft takes none.</summary>
    private static ImmutableArray<PortRange> Merge(ImmutableArray<PortRange> ranges)
    {
        var merged = new List<PortRange>();
        foreach (var range in ranges.OrderBy(r => r.First))
        {
            if (merged.Count > 0 && range.First <= merged[^1].Last + 1) merged[^1] = merged[^1] with { Last = Math.Max(merged[^1].Last, range.Last) };
            else merged.Add(range);
        }

        return [.. merged];
    }

    private ImmutableArray<IPNetwork> Networks(string flag, string text)
    {
        var all = Each<IPNetwork>(flag, text, static part =>
        {
            if (IPNetwork.TryParse(part, out var network)) return network;
            return IPAddress.TryParse(part, out var address) && address.HasNoScope() ? new IPNetwork(address, address.GetAddressBytes().Length * 8) : null;
        }, "a network such as 10.0.0.0/8 (its bits beyond the length are 0) or an address");
        return [.. all.Where(n => !all.Any(wider => wider.PrefixLength < n.PrefixLength && wider.Contains(n.BaseAddress)))];
    }

    private ImmutableArray<IPAddress> Addresses(string flag, string text) =>
        [.. Each<IPNetwork>(flag, text, static part => IPAddress.TryParse(part, out var a) && a.HasNoScope() ? new IPNetwork(a, a.GetAddressBytes().Length * 8) : null, "an IP address").Select(n => n.BaseAddress)];

    private ImmutableArray<uint> Ids(string flag, string text) =>
        Each<uint>(flag, text, static part => uint.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out var id) ? id : null, "the number of a user");

    private ImmutableArray<string> Interfaces(string flag, string text)
    {
        var names = text.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        if (names.Length == 0) errors.Add($"{flag}: names nothing");
        foreach (var name in names.Where(n => n.Length > 15 || !n.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.' or '@'))) errors.Add($"{flag}: \"{name}\" is not the name of an interface such as eth0");
        if (names.Contains("lo")) errors.Add($"{flag}: lo has rules of its own; leave it out");
        return [.. names.Distinct(StringComparer.Ordinal)];
    }

    private uint Id(string flag, string text)
    {
        var ids = Ids(flag, text);
        if (ids.Length > 1) errors.Add($"{flag}: one number, not {ids.Length}");
        return ids.Length > 0 ? ids[0] : 0;
    }

    private int Port(string flag, string text)
    {
        var ports = Ports(flag, text);
        if (ports.Length == 1 && ports[0].First == ports[0].Last) return ports[0].First;
        errors.Add($"{flag}: one port");
        return 0;
    }

    private string CgroupPath(string text)
    {
        var path = text.Trim('/');
        if (path.Length == 0 || path.Any(c => c is <= ' ' or > '~' or '"' or '\\') || path.Split('/').Any(p => p is "" or "." or "..")) errors.Add($"--cgroup: \"{text}\" is not the path of a cgroup below the root, such as system.slice/shop.service");
        return path;
    }

    private string Text(string flag, string text)
    {
        if (text.Length == 0 || text.Any(c => c is <= ' ' or > '~' or '"' or '\\')) errors.Add($"{flag}: \"{text}\" cannot be kept beside the rules: printable characters without blanks, quotes and backslashes");
        return text;
    }

    private int Choice(string flag, string text, params ReadOnlySpan<string> choices)
    {
        for (var i = 0; i < choices.Length; i++)
        {
            if (string.Equals(choices[i], text, StringComparison.OrdinalIgnoreCase)) return i;
        }

        errors.Add($"{flag}: \"{text}\" is not one of {string.Join(", ", choices)}");
        return 0;
    }

    private static string? Unless<T>(T value, T usual)
        where T : struct, IFormattable => value.Equals(usual) ? null : value.ToString(null, CultureInfo.InvariantCulture);

    private static string List<T>(ImmutableArray<T> values) => string.Join(',', values);

    private sealed record Row(string Name, string Value, string Help, Action<CaptureFlags, string> Apply, Func<CaptureOptions, string?> Write);
}
