using Envoy.Config.Route.V3;
using Envoy.Type.Matcher.V3;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Compilation;

/// <summary>HTTPRoute matches -> xDS RouteMatch, in the dialect of the node. Pure.</summary>
internal static class MatchCompiler
{
    /// <summary>The match for sidecars and Envoy.</summary>
    public static RouteMatch Sidecar(HttpRouteMatch match)
    {
        var compiled = new RouteMatch();
        var prefix = match.Path.TrimEnd('/');
        switch (match.PathKind)
        {
            case MatchKind.Exact: compiled.Path = match.Path; break;
            case MatchKind.RegularExpression: compiled.SafeRegex = new RegexMatcher { Regex = match.Path }; break;
            default:
                if (prefix.Length == 0) compiled.Prefix = "/";
                else compiled.PathSeparatedPrefix = prefix;
                break;
        }

        if (match.Method is { } method) compiled.Headers.Add(Header(new ValueMatch(":method", MatchKind.Exact, method)));
        compiled.Headers.AddRange(match.Headers.Select(Header));
        compiled.QueryParameters.AddRange(match.QueryParams.Select(query => new QueryParameterMatcher { Name = query.Name, StringMatch = Value(query) }));
        return compiled;
    }

    /// <summary>
    /// The matches for gRPC libraries: none when no RPC can match, two for a prefix, as they know no path_separated_prefix.
    /// </summary>
    public static IEnumerable<RouteMatch> Grpc(HttpRouteMatch match)
    {
        // An RPC is a POST without query.
        if (match.Method is not (null or "POST") || match.QueryParams.Length > 0) yield break;
        var prefix = match.Path.TrimEnd('/');
        if (match.PathKind == MatchKind.Exact) yield return GrpcHeaders(new RouteMatch { Path = match.Path }, match);
        else if (match.PathKind == MatchKind.RegularExpression)
            yield return GrpcHeaders(new RouteMatch { SafeRegex = new RegexMatcher { Regex = match.Path } }, match);
        else
        {
            if (prefix.Length > 0) yield return GrpcHeaders(new RouteMatch { Path = prefix }, match);
            yield return GrpcHeaders(new RouteMatch { Prefix = prefix + "/" }, match);
        }
    }

    private static HeaderMatcher Header(ValueMatch header) => new() { Name = header.Name, StringMatch = Value(header) };

    private static StringMatcher Value(ValueMatch match) => match.Kind == MatchKind.RegularExpression
        ? new StringMatcher { SafeRegex = new RegexMatcher { Regex = match.Value } }
        : new StringMatcher { Exact = match.Value };

    // gRPC C-core before A63 refuses string_match; the deprecated fields are understood by all.
    private static RouteMatch GrpcHeaders(RouteMatch compiled, HttpRouteMatch match)
    {
        foreach (var header in match.Headers)
        {
            compiled.Headers.Add(header.Kind == MatchKind.RegularExpression
                ? new HeaderMatcher { Name = header.Name, SafeRegexMatch = new RegexMatcher { Regex = header.Value } }
                : new HeaderMatcher { Name = header.Name, ExactMatch = header.Value });
        }

        return compiled;
    }
}
