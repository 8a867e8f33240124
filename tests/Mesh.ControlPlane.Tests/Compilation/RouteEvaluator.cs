using System.Text.RegularExpressions;
using Envoy.Config.Route.V3;
using Envoy.Type.Matcher.V3;

namespace Mesh.ControlPlane.Tests.Compilation;

/// <summary>What an xDS client does with routes, read literally from Envoy's API: the first route all of whose matchers match.</summary>
internal static class RouteEvaluator
{
    public static Route? Choose(IEnumerable<Route> routes, string method, string target, IReadOnlyDictionary<string, string> headers)
    {
        var path = target.Split('?')[0];
        var query = target.Contains('?', StringComparison.Ordinal) ? target[(path.Length + 1)..] : "";
        return routes.FirstOrDefault(route => MatchesPath(route.Match, path)
            && route.Match.Headers.All(header => Matches(header.StringMatch, header.Name == ":method" ? method : headers.GetValueOrDefault(header.Name)))
            && route.Match.QueryParameters.All(parameter => Matches(parameter.StringMatch, FirstValue(query, parameter.Name))));
    }

    private static bool MatchesPath(RouteMatch match, string path) => match.PathSpecifierCase switch
    {
        RouteMatch.PathSpecifierOneofCase.Prefix => path.StartsWith(match.Prefix, StringComparison.Ordinal),
        RouteMatch.PathSpecifierOneofCase.PathSeparatedPrefix =>
            path == match.PathSeparatedPrefix || path.StartsWith(match.PathSeparatedPrefix + "/", StringComparison.Ordinal),
        RouteMatch.PathSpecifierOneofCase.Path => path == match.Path,
        RouteMatch.PathSpecifierOneofCase.SafeRegex => Full(match.SafeRegex.Regex, path),
        _ => throw new InvalidOperationException("a route without path matcher is refused by every client"),
    };

    private static bool Matches(StringMatcher matcher, string? value) => value is not null && (matcher.MatchPatternCase switch
    {
        StringMatcher.MatchPatternOneofCase.Exact => value == matcher.Exact,
        StringMatcher.MatchPatternOneofCase.SafeRegex => Full(matcher.SafeRegex.Regex, value),
        _ => throw new InvalidOperationException($"unexpected matcher {matcher}"),
    });

    private static string? FirstValue(string query, string name) => query.Split('&')
        .Select(pair => pair.Split('=', 2)).Where(pair => pair[0] == name).Select(pair => pair.Length > 1 ? pair[1] : "").FirstOrDefault();

    private static bool Full(string regex, string text) => Regex.IsMatch(text, $"^(?:{regex})$", RegexOptions.NonBacktracking, TimeSpan.FromSeconds(1));
}
