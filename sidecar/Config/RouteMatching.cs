namespace Mesh.Sidecar.Config;

/// <summary>
/// Finds the virtual host and the route of a request, by Envoy's rules. Pure and without allocation
/// (but for a header that was sent several times, whose values have to be joined).
/// </summary>
public static class RouteMatching
{
    /// <summary>
    /// The virtual host of an authority: exact domain, else the longest <c>*suffix</c>, else the longest <c>prefix*</c>, else <c>*</c>.
    /// Case and the trailing dot of an absolute name do not count; the port counts unless the table ignores it.
    /// </summary>
    public static VirtualHost? FindHost(RouteTable table, ReadOnlySpan<char> authority)
    {
        Span<char> scratch = stackalloc char[authority.Length <= 256 ? authority.Length : 0];
        var index = FindIndex(table, Normalize(authority, table.IgnorePort, scratch));
        return index < 0 ? null : table.Hosts[index];
    }

    private static int FindIndex(RouteTable table, ReadOnlySpan<char> host)
    {
        if (table.TryGetExact(host, out var exact)) return exact;
        var wild = table.Suffixes.FindEndOf(host);
        if (wild < 0) wild = table.Prefixes.FindBeginOf(host);
        return wild < 0 ? table.Any : wild;
    }

    /// <summary>The first route of a virtual host that a request matches.</summary>
    public static Route? FindRoute(VirtualHost host, in RouteInput input)
    {
        var path = input.Path;
        foreach (var route in host.Routes)
        {
            if (Matches(route.Match, path, input)) return route;
        }

        return null;
    }

    private static bool Matches(RouteMatch match, ReadOnlySpan<char> path, in RouteInput input)
    {
        if (match.GrpcOnly && !input.Grpc) return false;
        if (!PathMatches(match, path)) return false;
        foreach (var header in match.Headers)
        {
            if (!HeaderMatches(header, input.Header(header.Name))) return false;
        }

        foreach (var parameter in match.Query)
        {
            if (!QueryMatches(parameter, input.Query)) return false;
        }

        return true;
    }

    private static bool PathMatches(RouteMatch match, ReadOnlySpan<char> path)
    {
        var comparison = match.CaseSensitive ? StringComparison.Ordinal : StringComparison.OrdinalIgnoreCase;
        return match.Kind switch
        {
            PathMatchKind.Prefix => path.StartsWith(match.Path, comparison),
            PathMatchKind.Exact => path.Equals(match.Path, comparison),
            PathMatchKind.SegmentPrefix => path.StartsWith(match.Path, comparison)
                && (path.Length == match.Path.Length || path[match.Path.Length] == '/'),
            PathMatchKind.Regex => match.Regex!.IsMatch(path),
            _ => false,
        };
    }

    /// <summary>Presence can be inverted; any other matcher fails on a missing header, inverted or not, unless missing means empty.</summary>
    private static bool HeaderMatches(HeaderMatch header, string? value)
    {
        if (header.Match.Kind == StringMatchKind.Present) return value is not null != header.Invert;
        if (value is null && !header.MissingIsEmpty) return false;
        return header.Match.Matches(value) != header.Invert;
    }

    /// <summary>Compares the first value of the name, as sent: nothing is decoded.</summary>
    private static bool QueryMatches(QueryMatch parameter, ReadOnlySpan<char> query)
    {
        while (!query.IsEmpty)
        {
            var end = query.IndexOf('&');
            var pair = end < 0 ? query : query[..end];
            query = end < 0 ? [] : query[(end + 1)..];
            var equals = pair.IndexOf('=');
            var name = equals < 0 ? pair : pair[..equals];
            if (name.SequenceEqual(parameter.Name)) return parameter.Match.Matches(equals < 0 ? [] : pair[(equals + 1)..]);
        }

        return false;
    }

    private static ReadOnlySpan<char> Normalize(ReadOnlySpan<char> authority, bool ignorePort, Span<char> scratch)
    {
        var portAt = PortSeparator(authority);
        var name = portAt < 0 ? authority : authority[..portAt];
        var port = portAt < 0 || ignorePort ? [] : authority[portAt..];
        var dotted = name.Length > 1 && name[^1] == '.';
        if (dotted) name = name[..^1];
        if (port.IsEmpty) return name;
        if (!dotted) return authority;
        if (scratch.IsEmpty) return authority;
        name.CopyTo(scratch);
        port.CopyTo(scratch[name.Length..]);
        return scratch[..(name.Length + port.Length)];
    }

    /// <summary>Index of the colon before the port, or -1: the last colon, unless it is inside an IPv6 address.</summary>
    private static int PortSeparator(ReadOnlySpan<char> authority)
    {
        var colon = authority.LastIndexOf(':');
        if (colon < 0) return -1;
        if (authority[0] == '[') return authority[colon - 1] == ']' ? colon : -1;
        return authority[..colon].Contains(':') ? -1 : colon;
    }
}
