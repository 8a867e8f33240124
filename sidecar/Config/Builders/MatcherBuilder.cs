using System.Text.RegularExpressions;
using Envoy.Config.Route.V3;
using Envoy.Type.Matcher.V3;

namespace Mesh.Sidecar.Config.Builders;

/// <summary>RouteMatch and its matchers: xDS to compiled values. Pure.</summary>
internal static class MatcherBuilder
{
    /// <summary>Longest expression taken: what is longer is a list that belongs into several routes.</summary>
    private const int LongestRegex = 4096;

    private static readonly RouteMatch Nothing = new() { Kind = PathMatchKind.Prefix };

    /// <summary>Builds a route's match.</summary>
    public static RouteMatch Match(Envoy.Config.Route.V3.RouteMatch? proto, Field field)
    {
        if (proto is null)
        {
            field.Error("is missing");
            return Nothing;
        }

        field.Unsupported(proto.RuntimeFraction is not null, "runtime_fraction");
        var (kind, path, regex) = Path(proto, field);
        return new RouteMatch
        {
            Kind = kind,
            Path = path,
            Regex = regex,
            CaseSensitive = proto.CaseSensitive ?? true,
            GrpcOnly = proto.Grpc is not null,
            Headers = [.. proto.Headers.Select((h, i) => Header(h, field.At("headers", i)))],
            Query = [.. proto.QueryParameters.Select((q, i) => Query(q, field.At("query_parameters", i)))],
        };
    }

    private static (PathMatchKind Kind, string Path, Regex? Regex) Path(Envoy.Config.Route.V3.RouteMatch proto, Field field)
    {
        switch (proto.PathSpecifierCase)
        {
            case Envoy.Config.Route.V3.RouteMatch.PathSpecifierOneofCase.Prefix:
                return (PathMatchKind.Prefix, proto.Prefix, null);
            case Envoy.Config.Route.V3.RouteMatch.PathSpecifierOneofCase.Path:
                return (PathMatchKind.Exact, proto.Path, null);
            case Envoy.Config.Route.V3.RouteMatch.PathSpecifierOneofCase.PathSeparatedPrefix:
                return SegmentPrefix(proto.PathSeparatedPrefix, field.At("path_separated_prefix"));
            case Envoy.Config.Route.V3.RouteMatch.PathSpecifierOneofCase.SafeRegex:
                return (PathMatchKind.Regex, "", Compile(proto.SafeRegex, field.At("safe_regex"), ignoreCase: false));
            case Envoy.Config.Route.V3.RouteMatch.PathSpecifierOneofCase.ConnectMatcher:
                field.Unsupported(true, "connect_matcher");
                break;
            default:
                field.Error("one of prefix, path, path_separated_prefix, safe_regex is needed");
                break;
        }

        return (PathMatchKind.Prefix, "", null);
    }

    private static (PathMatchKind Kind, string Path, Regex? Regex) SegmentPrefix(string value, Field field)
    {
        if (value == "/") return (PathMatchKind.Prefix, value, null);
        if (!value.StartsWith('/') || value.EndsWith('/') || value.AsSpan().IndexOfAny('?', '#') >= 0)
            field.Error($"\"{value}\" must begin with /, must not end with / and holds no ? or #");
        return (PathMatchKind.SegmentPrefix, value, null);
    }

    private static HeaderMatch Header(HeaderMatcher proto, Field field)
    {
        if (proto.Name.Length == 0) field.Error("name", "is empty");
        var invert = proto.InvertMatch;
        var match = proto.HeaderMatchSpecifierCase switch
        {
            HeaderMatcher.HeaderMatchSpecifierOneofCase.ExactMatch => Plain(StringMatchKind.Exact, proto.ExactMatch),
            HeaderMatcher.HeaderMatchSpecifierOneofCase.PrefixMatch => Plain(StringMatchKind.Prefix, proto.PrefixMatch),
            HeaderMatcher.HeaderMatchSpecifierOneofCase.SuffixMatch => Plain(StringMatchKind.Suffix, proto.SuffixMatch),
            HeaderMatcher.HeaderMatchSpecifierOneofCase.ContainsMatch => Plain(StringMatchKind.Contains, proto.ContainsMatch),
            HeaderMatcher.HeaderMatchSpecifierOneofCase.StringMatch => String(proto.StringMatch, field.At("string_match")),
            HeaderMatcher.HeaderMatchSpecifierOneofCase.SafeRegexMatch =>
                Expression(Compile(proto.SafeRegexMatch, field.At("safe_regex_match"), ignoreCase: false)),
            _ => Plain(StringMatchKind.Present, ""),
        };
        field.Unsupported(proto.HeaderMatchSpecifierCase == HeaderMatcher.HeaderMatchSpecifierOneofCase.RangeMatch, "range_match");
        if (proto is { HeaderMatchSpecifierCase: HeaderMatcher.HeaderMatchSpecifierOneofCase.PresentMatch, PresentMatch: false }) invert = !invert;
        return new HeaderMatch(proto.Name, match, invert) { MissingIsEmpty = proto.TreatMissingHeaderAsEmpty };
    }

    private static QueryMatch Query(QueryParameterMatcher proto, Field field)
    {
        if (proto.Name.Length == 0) field.Error("name", "is empty");
        if (proto.QueryParameterMatchSpecifierCase == QueryParameterMatcher.QueryParameterMatchSpecifierOneofCase.StringMatch)
            return new QueryMatch(proto.Name, String(proto.StringMatch, field.At("string_match")));
        field.Unsupported(proto is { HasPresentMatch: true, PresentMatch: false }, "present_match (false)");
        return new QueryMatch(proto.Name, Plain(StringMatchKind.Present, ""));
    }

    private static StringMatch String(StringMatcher proto, Field field)
    {
        var (kind, value) = proto.MatchPatternCase switch
        {
            StringMatcher.MatchPatternOneofCase.Exact => (StringMatchKind.Exact, proto.Exact),
            StringMatcher.MatchPatternOneofCase.Prefix => (StringMatchKind.Prefix, proto.Prefix),
            StringMatcher.MatchPatternOneofCase.Suffix => (StringMatchKind.Suffix, proto.Suffix),
            StringMatcher.MatchPatternOneofCase.Contains => (StringMatchKind.Contains, proto.Contains),
            StringMatcher.MatchPatternOneofCase.SafeRegex => (StringMatchKind.Regex, ""),
            _ => (StringMatchKind.Present, ""),
        };
        if (kind == StringMatchKind.Present) field.Error("one of exact, prefix, suffix, contains, safe_regex is needed");
        if (kind == StringMatchKind.Regex) return Expression(Compile(proto.SafeRegex, field.At("safe_regex"), proto.IgnoreCase));
        return new StringMatch(kind, value, proto.IgnoreCase, null);
    }

    private static StringMatch Plain(StringMatchKind kind, string value) => new(kind, value, IgnoreCase: false, null);

    private static StringMatch Expression(Regex? regex) => new(StringMatchKind.Regex, "", IgnoreCase: false, regex);

    /// <summary>Compiles a whole-value expression that runs in time linear to its input, whatever the input.</summary>
    private static Regex? Compile(RegexMatcher? proto, Field field, bool ignoreCase)
    {
        var text = proto?.Regex ?? "";
        var at = field.At("regex");
        if (text.Length == 0) at.Error("is empty");
        else if (text.Length > LongestRegex) at.Error($"is {text.Length} characters long; the most is {LongestRegex}");
        else return TryCompile(text, at, ignoreCase);
        return null;
    }

    private static Regex? TryCompile(string text, Field at, bool ignoreCase)
    {
        var options = RegexOptions.NonBacktracking | RegexOptions.CultureInvariant | (ignoreCase ? RegexOptions.IgnoreCase : RegexOptions.None);
        try
        {
            // On its own first: what closes a group it did not open must not pass by closing ours.
            _ = new Regex(text, options, TimeSpan.FromSeconds(1));
            return new Regex($@"\A(?:{text})\z", options, TimeSpan.FromSeconds(1));
        }
        catch (Exception e) when (e is ArgumentException or NotSupportedException)
        {
            at.Error($"\"{text}\" is not an expression this sidecar can run (RE2 syntax): {e.Message}");
            return null;
        }
    }
}
