using System.Collections.Immutable;
using System.Text.RegularExpressions;
using FsCheck;
using FsCheck.Fluent;
using Mesh.ControlPlane.Compilation;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Tests.Model;
using ValueMatch = Mesh.ControlPlane.Model.ValueMatch;

namespace Mesh.ControlPlane.Tests.Compilation;

/// <summary>The order of compiled routes is Gateway API's precedence: the first that matches is the one its text asks for.</summary>
public sealed class PrecedenceTests
{
    private static readonly string[] Paths = ["/", "/a", "/a/", "/a/b", "/ab", "/a/b/c"];

    [Theory]
    [InlineData("exact:/a", "prefix:/a/b/c")]
    [InlineData("exact:/a", "regex:/a.*")]
    [InlineData("regex:/a.*", "prefix:/a")]
    [InlineData("prefix:/a/b", "prefix:/a")]
    [InlineData("prefix:/a", "prefix:/ method h1 h2 q1")]
    [InlineData("prefix:/a method", "prefix:/a h1 h2 q1")]
    [InlineData("prefix:/a h1 h2", "prefix:/a h1 q1 q2")]
    [InlineData("prefix:/a h1 q1", "prefix:/a h1")]
    public void First_goes_before_second(string first, string second)
    {
        Assert.True(RoutePrecedence.Order.Compare(Candidate(first, "z"), Candidate(second, "a")) < 0, "first against second");
        Assert.True(RoutePrecedence.Order.Compare(Candidate(second, "a"), Candidate(first, "z")) > 0, "second against first");
    }

    [Fact]
    public void Ties_go_to_the_oldest_then_by_name_then_by_place()
    {
        var old = Candidate("prefix:/a", "z", new DateTimeOffset(2020, 1, 1, 0, 0, 0, TimeSpan.Zero));
        var young = Candidate("prefix:/a", "a", new DateTimeOffset(2021, 1, 1, 0, 0, 0, TimeSpan.Zero));
        var ageless = Candidate("prefix:/a", "b");
        Assert.Equal([old, young, ageless, Candidate("prefix:/a/", "c")], new[] { Candidate("prefix:/a/", "c"), ageless, young, old }.Order(RoutePrecedence.Order));
        var route = old.Route with { Rules = [old.RuleValue with { Matches = [old.MatchValue, old.MatchValue] }, old.RuleValue] };
        Assert.Equal(
            [new RouteCandidate(route, 0, 0), new RouteCandidate(route, 0, 1), new RouteCandidate(route, 1, 0)], RoutePrecedence.Sort([route]));
    }

    /// <summary>First match in compiled order = best match by the naive reading of the specification, over random routes and requests.</summary>
    [Fact]
    public void First_match_is_the_best_match()
    {
        var matches = Gen.Elements(MatchKind.Exact, MatchKind.PathPrefix).SelectMany(kind =>
            Gen.Elements(Paths).SelectMany(path =>
            Gen.Elements("GET", "POST", null).SelectMany(method =>
            Gen.Choose(0, 7).SelectMany(headers =>
            Gen.Choose(0, 7).Select(query => new HttpRouteMatch
            {
                PathKind = kind,
                Path = path,
                Method = method,
                Headers = Values("h", headers),
                QueryParams = Values("q", query),
            })))));
        var routes = matches.ArrayOf(12).Select(all => all.Chunk(3).Select((some, index) =>
            Given.Route("r" + index, "web", [.. some.Select(match => Given.Rule(match))]) with { Created = new DateTimeOffset(2020 + (index & 1), 1, 1, 0, 0, 0, TimeSpan.Zero) }).ToArray());
        var requests = Gen.Elements(Paths).SelectMany(path => Gen.Elements("GET", "POST").SelectMany(method =>
            Gen.Choose(0, 7).SelectMany(headers => Gen.Choose(0, 7).Select(query => new Request(path, method, headers, query)))));

        Prop.ForAll(routes.ToArbitrary(), requests.ToArbitrary(), (set, request) =>
        {
            var compiled = RoutePrecedence.Sort(set).Where(candidate => request.Matches(candidate.MatchValue)).Select(Key).FirstOrDefault();
            return compiled == Best(set, request);
        }).QuickCheckThrowOnFailure();
    }

    // The specification, read literally: keep the best of each criterion in turn.
    private static string? Best(HttpRoute[] routes, Request request)
    {
        var left = routes.SelectMany(route => route.Rules.SelectMany((rule, r) => rule.Matches.Select((_, m) => new RouteCandidate(route, r, m))))
            .Where(candidate => request.Matches(candidate.MatchValue)).ToList();
        left = Keep(left, candidate => candidate.MatchValue.PathKind == MatchKind.Exact ? 1 : 0);
        left = Keep(left, candidate => candidate.MatchValue.PathKind == MatchKind.PathPrefix ? candidate.MatchValue.Path.TrimEnd('/').Length : 0);
        left = Keep(left, candidate => candidate.MatchValue.Method is null ? 0 : 1);
        left = Keep(left, candidate => candidate.MatchValue.Headers.Length);
        left = Keep(left, candidate => candidate.MatchValue.QueryParams.Length);
        left = Keep(left, candidate => -candidate.Route.Created!.Value.Year);
        return left.OrderBy(candidate => candidate.Route.Name.Name, StringComparer.Ordinal).ThenBy(candidate => candidate.Rule).Select(Key).FirstOrDefault();
    }

    private static List<RouteCandidate> Keep(List<RouteCandidate> candidates, Func<RouteCandidate, int> criterion)
    {
        var best = candidates.Count == 0 ? 0 : candidates.Max(criterion);
        return candidates.FindAll(candidate => criterion(candidate) == best);
    }

    private static string Key(RouteCandidate candidate) => $"{candidate.Route.Name}/{candidate.Rule}/{candidate.Match}";

    private static ImmutableArray<ValueMatch> Values(string prefix, int bits) =>
        [.. Enumerable.Range(0, 3).Where(bit => (bits & (1 << bit)) != 0).Select(bit => new ValueMatch(prefix + bit, MatchKind.Exact, "1"))];

    private static RouteCandidate Candidate(string text, string route, DateTimeOffset? created = null)
    {
        var words = text.Split(' ');
        var path = words[0].Split(':');
        var match = new HttpRouteMatch
        {
            PathKind = path[0] switch { "exact" => MatchKind.Exact, "regex" => MatchKind.RegularExpression, _ => MatchKind.PathPrefix },
            Path = path[1],
            Method = words.Contains("method") ? "GET" : null,
            Headers = [.. words.Where(word => word.StartsWith('h')).Select(word => new ValueMatch(word, MatchKind.Exact, "1"))],
            QueryParams = [.. words.Where(word => word.StartsWith('q')).Select(word => new ValueMatch(word, MatchKind.Exact, "1"))],
        };
        return new RouteCandidate(Given.Route(route, "web", Given.Rule(match)) with { Created = created }, 0, 0);
    }

    private sealed record Request(string Path, string Method, int Headers, int Query)
    {
        public bool Matches(HttpRouteMatch match) =>
            MatchesPath(match) && (match.Method is null || match.Method == Method)
            && match.Headers.All(header => (Headers & (1 << (header.Name[1] - '0'))) != 0)
            && match.QueryParams.All(query => (Query & (1 << (query.Name[1] - '0'))) != 0);

        private bool MatchesPath(HttpRouteMatch match)
        {
            if (match.PathKind == MatchKind.Exact) return Path == match.Path;
            var prefix = match.Path.TrimEnd('/');
            return Regex.IsMatch(Path, $"^{Regex.Escape(prefix)}(/.*)?$", RegexOptions.None, TimeSpan.FromSeconds(1));
        }
    }
}
