using System.Collections.Frozen;
using System.Text.RegularExpressions;

namespace Mesh.Api.Rbac.Conditions;

/// <summary>How a string is compared.</summary>
internal enum StringTestKind
{
    Exact,
    Prefix,
    Suffix,
    Contains,
    Regex,
    OneOf,
}

/// <summary>A compiled string matcher (xDS StringMatcher). Immutable; tests without allocating.</summary>
internal sealed class StringTest
{
    private readonly StringComparison comparison;
    private readonly Regex? regex;
    private readonly FrozenSet<string>.AlternateLookup<ReadOnlySpan<char>> lookup;

    private StringTest(StringTestKind kind, string value, bool ignoreCase, Regex? regex, FrozenSet<string>? values)
    {
        Kind = kind;
        Value = value;
        IgnoreCase = ignoreCase;
        Values = values;
        this.regex = regex;
        comparison = ignoreCase ? StringComparison.OrdinalIgnoreCase : StringComparison.Ordinal;
        if (values is not null) lookup = values.GetAlternateLookup<ReadOnlySpan<char>>();
    }

    public StringTestKind Kind { get; }

    public string Value { get; }

    public bool IgnoreCase { get; }

    /// <summary>The values of <see cref="StringTestKind.OneOf"/>.</summary>
    public FrozenSet<string>? Values { get; }

    public static StringTest Literal(StringTestKind kind, string value, bool ignoreCase) => new(kind, value, ignoreCase, null, null);

    /// <summary>A whole-value expression.</summary>
    public static StringTest Expression(Regex regex) => new(StringTestKind.Regex, "", false, regex, null);

    /// <summary>Equal to one of many.</summary>
    public static StringTest OneOf(IEnumerable<string> values) =>
        new(StringTestKind.OneOf, "", false, null, values.ToFrozenSet(StringComparer.Ordinal));

    /// <summary>Whether it matches; "maybe" when an expression could not be run to its end.</summary>
    public Truth Test(ReadOnlySpan<char> input) => Kind switch
    {
        StringTestKind.Exact => Truths.Of(input.Equals(Value, comparison)),
        StringTestKind.Prefix => Truths.Of(input.StartsWith(Value, comparison)),
        StringTestKind.Suffix => Truths.Of(input.EndsWith(Value, comparison)),
        StringTestKind.Contains => Truths.Of(input.Contains(Value, comparison)),
        StringTestKind.OneOf => Truths.Of(lookup.Contains(input)),
        _ => Run(input),
    };

    private Truth Run(ReadOnlySpan<char> input)
    {
        try
        {
            return Truths.Of(regex!.IsMatch(input));
        }
        catch (RegexMatchTimeoutException)
        {
            return Truth.Maybe;
        }
    }
}
