using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Compilation;

/// <summary>One match of one rule of one route, with its place: what becomes one xDS route (or two).</summary>
/// <param name="Route">The route document.</param>
/// <param name="Rule">Index of its rule.</param>
/// <param name="Match">Index of the rule's match.</param>
internal readonly record struct RouteCandidate(HttpRoute Route, int Rule, int Match)
{
    /// <summary>The rule.</summary>
    public HttpRouteRule RuleValue => Route.Rules[Rule];

    /// <summary>The match.</summary>
    public HttpRouteMatch MatchValue => RuleValue.Matches[Match];
}

/// <summary>
/// Gateway API's "match precedence" as a total order: exact path, regular expression, longest prefix; then method, number of headers,
/// number of query parameters; then the oldest route, namespace and name; then the order in the document. Pure.
/// </summary>
internal sealed class RoutePrecedence : IComparer<RouteCandidate>
{
    /// <summary>The one instance.</summary>
    public static RoutePrecedence Order { get; } = new();

    /// <summary>All matches of <paramref name="routes"/>, the one to try first in front.</summary>
    public static List<RouteCandidate> Sort(IEnumerable<HttpRoute> routes)
    {
        var candidates = new List<RouteCandidate>();
        foreach (var route in routes)
        {
            for (var rule = 0; rule < route.Rules.Length; rule++)
            {
                for (var match = 0; match < route.Rules[rule].Matches.Length; match++) candidates.Add(new RouteCandidate(route, rule, match));
            }
        }

        candidates.Sort(Order);
        return candidates;
    }

    /// <inheritdoc/>
    public int Compare(RouteCandidate x, RouteCandidate y)
    {
        var bySpecificity = CompareMatches(y.MatchValue, x.MatchValue);
        if (bySpecificity != 0) return bySpecificity;
        var byAge = (x.Route.Created ?? DateTimeOffset.MaxValue).CompareTo(y.Route.Created ?? DateTimeOffset.MaxValue);
        if (byAge != 0) return byAge;
        var byName = x.Route.Name.CompareTo(y.Route.Name);
        if (byName != 0) return byName;
        var byRule = x.Rule.CompareTo(y.Rule);
        return byRule != 0 ? byRule : x.Match.CompareTo(y.Match);
    }

    // Greater is more specific.
    private static int CompareMatches(HttpRouteMatch x, HttpRouteMatch y)
    {
        var byKind = KindRank(x).CompareTo(KindRank(y));
        if (byKind != 0) return byKind;
        var byLength = Characters(x).CompareTo(Characters(y));
        if (byLength != 0) return byLength;
        var byMethod = (x.Method is not null).CompareTo(y.Method is not null);
        if (byMethod != 0) return byMethod;
        var byHeaders = x.Headers.Length.CompareTo(y.Headers.Length);
        return byHeaders != 0 ? byHeaders : x.QueryParams.Length.CompareTo(y.QueryParams.Length);
    }

    // Gateway API leaves the rank of regular expressions open. Behind every prefix, "/" would hide them; so they stand before.
    private static int KindRank(HttpRouteMatch match) => match.PathKind switch
    {
        MatchKind.Exact => 2,
        MatchKind.RegularExpression => 1,
        _ => 0,
    };

    // Two exact paths that match one request are equal; their length says nothing. "/foo/" and "/foo" are the same prefix.
    private static int Characters(HttpRouteMatch match) => match.PathKind switch
    {
        MatchKind.Exact => 0,
        MatchKind.PathPrefix => match.Path.TrimEnd('/').Length,
        _ => match.Path.Length,
    };
}
