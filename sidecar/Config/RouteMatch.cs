using System.Collections.Immutable;
using System.Text.RegularExpressions;

namespace Mesh.Sidecar.Config;

/// <summary>Matchers of a route (xDS RouteMatch), compiled. Immutable.</summary>
public sealed record RouteMatch
{
    /// <summary>Kind of the path matcher.</summary>
    public required PathMatchKind Kind { get; init; }

    /// <summary>Path or prefix; empty for a regular expression.</summary>
    public string Path { get; init; } = "";

    /// <summary>Whole-path expression for <see cref="PathMatchKind.Regex"/>, always NonBacktracking.</summary>
    public Regex? Regex { get; init; }

    /// <summary>False ignores case in the path.</summary>
    public bool CaseSensitive { get; init; } = true;

    /// <summary>All must match. Pseudo-headers <c>:method</c>, <c>:authority</c>, <c>:path</c>, <c>:scheme</c> are names here as in Envoy.</summary>
    public ImmutableArray<HeaderMatch> Headers { get; init; } = [];

    /// <summary>All must match.</summary>
    public ImmutableArray<QueryMatch> Query { get; init; } = [];

    /// <summary>True matches gRPC requests only.</summary>
    public bool GrpcOnly { get; init; }
}

/// <summary>How a path is compared.</summary>
public enum PathMatchKind
{
    /// <summary>Plain string prefix.</summary>
    Prefix,

    /// <summary>Prefix by path segments.</summary>
    SegmentPrefix,

    /// <summary>Equal.</summary>
    Exact,

    /// <summary>Regular expression over the whole path.</summary>
    Regex,
}

/// <summary>How a value is compared (xDS StringMatcher).</summary>
public enum StringMatchKind
{
    /// <summary>Present, whatever its value.</summary>
    Present,

    /// <summary>Equal.</summary>
    Exact,

    /// <summary>Begins with.</summary>
    Prefix,

    /// <summary>Ends with.</summary>
    Suffix,

    /// <summary>Contains.</summary>
    Contains,

    /// <summary>Whole-value regular expression.</summary>
    Regex,
}

/// <summary>A compiled string matcher. Immutable.</summary>
public sealed record StringMatch(StringMatchKind Kind, string Value, bool IgnoreCase, Regex? Regex)
{
    /// <summary>True when <paramref name="input"/> matches. Allocation-free.</summary>
    public bool Matches(ReadOnlySpan<char> input)
    {
        var comparison = IgnoreCase ? StringComparison.OrdinalIgnoreCase : StringComparison.Ordinal;
        return Kind switch
        {
            StringMatchKind.Present => true,
            StringMatchKind.Exact => input.Equals(Value, comparison),
            StringMatchKind.Prefix => input.StartsWith(Value, comparison),
            StringMatchKind.Suffix => input.EndsWith(Value, comparison),
            StringMatchKind.Contains => input.Contains(Value, comparison),
            StringMatchKind.Regex => Regex!.IsMatch(input),
            _ => false,
        };
    }
}

/// <summary>A header matcher. Several values of a header are joined with "," as Envoy does.</summary>
public sealed record HeaderMatch(string Name, StringMatch Match, bool Invert)
{
    /// <summary>A missing header counts as an empty one (treat_missing_header_as_empty).</summary>
    public bool MissingIsEmpty { get; init; }
}

/// <summary>A query parameter matcher; the first value of the name counts.</summary>
public sealed record QueryMatch(string Name, StringMatch Match);
