using System.Collections.Immutable;
using System.Globalization;
using System.Net;

namespace Mesh.Sidecar.Capture;

/// <summary>
/// Reads the values of options; what is wrong with them is added to <paramref name="errors"/> and read as nothing. One thread; lives as long as the reading.
/// </summary>
internal sealed class CaptureValues(List<string> errors)
{
    /// <summary>Ports and ranges of them, in order and without overlaps.</summary>
    public ImmutableArray<PortRange> Ports(string flag, string text) => Merge(Each<PortRange>(flag, text, static part =>
    {
        var dash = part.Split('-', ':');
        if (dash.Length > 2 || !ushort.TryParse(dash[0], NumberStyles.None, CultureInfo.InvariantCulture, out var first)) return null;
        if (!ushort.TryParse(dash[^1], NumberStyles.None, CultureInfo.InvariantCulture, out var last)) return null;
        return first > 0 && first <= last ? new PortRange(first, last) : null;
    }, "a port or a range such as 8000-8100"));

    /// <summary>Networks, without those that another contains.</summary>
    public ImmutableArray<IPNetwork> Networks(string flag, string text)
    {
        var all = Each<IPNetwork>(flag, text, static part =>
        {
            if (IPNetwork.TryParse(part, out var network)) return network;
            return IPAddress.TryParse(part, out var address) && address.HasNoScope() ? new IPNetwork(address, address.GetAddressBytes().Length * 8) : null;
        }, "a network such as 10.0.0.0/8 (its bits beyond the length are 0) or an address");
        return [.. all.Where(n => !all.Any(wider => wider.PrefixLength < n.PrefixLength && wider.Contains(n.BaseAddress)))];
    }

    /// <summary>Addresses that mean the same on every link.</summary>
    public ImmutableArray<IPAddress> Addresses(string flag, string text) =>
        [.. Each<IPNetwork>(flag, text, static part => IPAddress.TryParse(part, out var a) && a.HasNoScope() ? new IPNetwork(a, a.GetAddressBytes().Length * 8) : null, "an IP address").Select(n => n.BaseAddress)];

    /// <summary>Numbers of users.</summary>
    public ImmutableArray<uint> Ids(string flag, string text) =>
        Each<uint>(flag, text, static part => uint.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out var id) ? id : null, "the number of a user");

    /// <summary>Names of interfaces other than lo.</summary>
    public ImmutableArray<string> Interfaces(string flag, string text)
    {
        var names = text.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        if (names.Length == 0) errors.Add($"{flag}: names nothing");
        foreach (var name in names.Where(n => n.Length > 15 || !n.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.' or '@'))) errors.Add($"{flag}: \"{name}\" is not the name of an interface such as eth0");
        if (names.Contains("lo")) errors.Add($"{flag}: lo has rules of its own; leave it out");
        return [.. names.Distinct(StringComparer.Ordinal)];
    }

    /// <summary>One number of a user or group.</summary>
    public uint Id(string flag, string text)
    {
        var ids = Ids(flag, text);
        if (ids.Length > 1) errors.Add($"{flag}: one number, not {ids.Length}");
        return ids.Length > 0 ? ids[0] : 0;
    }

    /// <summary>One port.</summary>
    public int Port(string flag, string text)
    {
        var ports = Ports(flag, text);
        if (ports.Length == 1 && ports[0].First == ports[0].Last) return ports[0].First;
        errors.Add($"{flag}: one port");
        return 0;
    }

    /// <summary>Path of a cgroup below the root.</summary>
    public string CgroupPath(string text)
    {
        var path = text.Trim('/');
        if (path.Length == 0 || path.Any(c => c is <= ' ' or > '~' or '"' or '\\') || path.Split('/').Any(p => p is "" or "." or "..")) errors.Add($"--cgroup: \"{text}\" is not the path of a cgroup below the root, such as system.slice/shop.service");
        return path;
    }

    /// <summary>A text that can be kept beside the rules.</summary>
    public string Text(string flag, string text)
    {
        if (text.Length == 0 || text.Any(c => c is <= ' ' or > '~' or '"' or '\\')) errors.Add($"{flag}: \"{text}\" cannot be kept beside the rules: printable characters without blanks, quotes and backslashes");
        return text;
    }

    /// <summary>The position of what was chosen.</summary>
    public int Choice(string flag, string text, params ReadOnlySpan<string> choices)
    {
        for (var i = 0; i < choices.Length; i++)
        {
            if (string.Equals(choices[i], text, StringComparison.OrdinalIgnoreCase)) return i;
        }

        errors.Add($"{flag}: \"{text}\" is not one of {string.Join(", ", choices)}");
        return 0;
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
}
