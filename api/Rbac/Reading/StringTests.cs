using System.Text;
using System.Text.RegularExpressions;
using Envoy.Type.Matcher.V3;
using Mesh.Api.Rbac.Conditions;

namespace Mesh.Api.Rbac.Reading;

/// <summary>
/// StringMatcher and RegexMatcher to tests; null with a problem for what cannot be asked. One set of rules often says the same expression many
/// times: it is compiled once. One thread; lives as long as one build.
/// </summary>
internal sealed class StringTests
{
    /// <summary>Longest expression taken: what is longer is a list that belongs into several rules.</summary>
    private const int LongestRegex = 4096;

    private readonly Dictionary<(string, RegexOptions), StringTest> compiled = [];

    /// <summary>A test of principals and methods: texts as they are.</summary>
    public StringTest? OfText(StringMatcher? proto, Place place) => Of(proto, place, (text, _, _) => text, RegexOptions.None, ignoreCase: false);

    /// <summary>A test of hosts, whose case never counts.</summary>
    public StringTest? OfHost(StringMatcher? proto, Place place) => Of(proto, place, (text, _, _) => text, RegexOptions.IgnoreCase, ignoreCase: true);

    /// <summary>A test of paths: texts are brought into the form requests have.</summary>
    public StringTest? OfPath(StringMatcher? proto, Place place) => Of(proto, place, Path, RegexOptions.None, ignoreCase: false);

    /// <summary>A test of field values, which are bytes: beyond ASCII a text stands for its UTF-8.</summary>
    public StringTest? OfField(StringMatcher? proto, Place place) => Of(proto, place, (text, _, _) => Bytes(text), RegexOptions.None, ignoreCase: false);

    /// <summary>The bytes of a text, one character each, as fields are read.</summary>
    public static string Bytes(string text) => Ascii.IsValid(text) ? text : Encoding.Latin1.GetString(Encoding.UTF8.GetBytes(text));

    /// <summary>A whole-value expression that runs in time linear to its input.</summary>
    public StringTest? OfRegex(RegexMatcher? proto, Place place, RegexOptions more = RegexOptions.None)
    {
        var text = proto?.Regex ?? "";
        if (text.Length == 0) place.At("regex").Problem("is empty");
        else if (text.Length > LongestRegex) place.At("regex").Problem($"is {text.Length} characters long; the most is {LongestRegex}");
        else if (!Ascii.IsValid(text)) place.At("regex").Problem("holds a character beyond ASCII; what it is compared with holds bytes: write them as %XX in paths, as \\xHH in fields");
        else return Compile(text, place.At("regex"), more);
        return null;
    }

    private StringTest? Of(StringMatcher? proto, Place place, Func<string, PathPattern, Place, string?> form, RegexOptions options, bool ignoreCase)
    {
        switch (proto?.MatchPatternCase ?? StringMatcher.MatchPatternOneofCase.None)
        {
            case StringMatcher.MatchPatternOneofCase.Exact: return Literal(StringTestKind.Exact, proto!.Exact, PathPattern.Exact, "exact");
            case StringMatcher.MatchPatternOneofCase.Prefix: return Literal(StringTestKind.Prefix, proto!.Prefix, PathPattern.Prefix, "prefix");
            case StringMatcher.MatchPatternOneofCase.Suffix: return Literal(StringTestKind.Suffix, proto!.Suffix, PathPattern.Suffix, "suffix");
            case StringMatcher.MatchPatternOneofCase.Contains: return Literal(StringTestKind.Contains, proto!.Contains, PathPattern.Contains, "contains");
            case StringMatcher.MatchPatternOneofCase.SafeRegex:
                if (!proto!.IgnoreCase) return OfRegex(proto.SafeRegex, place.At("safe_regex"), options);
                place.At("ignore_case").Problem("says nothing of an expression: write (?i) into it");
                return null;
            default:
                place.Problem("one of exact, prefix, suffix, contains, safe_regex is needed");
                return null;
        }

        StringTest? Literal(StringTestKind kind, string text, PathPattern part, string field)
        {
            if (text.Length == 0 && kind != StringTestKind.Exact) place.At(field).Problem("is empty: it would match everything");
            else if (form(text, part, place.At(field)) is { } formed) return StringTest.Literal(kind, formed, ignoreCase || proto!.IgnoreCase);
            return null;
        }
    }

    private static string? Path(string text, PathPattern part, Place place)
    {
        var canonical = CanonicalPath.OfPattern(text, part, out var problem);
        if (problem is not null) place.Problem($"\"{text}\": {problem}; no request could match");
        return canonical;
    }

    private StringTest? Compile(string text, Place place, RegexOptions more)
    {
        if (compiled.TryGetValue((text, more), out var known)) return known;
        var options = RegexOptions.NonBacktracking | RegexOptions.CultureInvariant | more;
        try
        {
            // On its own first: what closes a group it did not open must not pass by closing ours.
            _ = new Regex(text, options, TimeSpan.FromSeconds(1));
            return compiled[(text, more)] = StringTest.Expression(new Regex($@"\A(?:{text})\z", options, TimeSpan.FromSeconds(1)));
        }
        catch (Exception e) when (e is ArgumentException or NotSupportedException)
        {
            place.Problem($"\"{text}\" is not an expression this program can run (RE2 syntax): {e.Message}");
            return null;
        }
    }
}
