using System.Buffers;
using System.Diagnostics.CodeAnalysis;

namespace Mesh.Api.Identity;

/// <summary>
/// Who a workload is: <c>spiffe://trust-domain/path</c>, by the strict grammar of SPIFFE-ID. There is one spelling of an ID, so IDs
/// are compared exactly. Immutable.
/// </summary>
public sealed record SpiffeId
{
    /// <summary>The longest ID that is taken, in bytes.</summary>
    public const int MaxLength = 2048;

    private const string Scheme = "spiffe://";
    private const int MaxTrustDomain = 255;
    private static readonly SearchValues<char> TrustDomainLetters = SearchValues.Create("abcdefghijklmnopqrstuvwxyz0123456789.-_");
    private static readonly SearchValues<char> PathLetters =
        SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_");

    private readonly string text;

    private SpiffeId(string text, int pathStart)
    {
        this.text = text;
        TrustDomain = text[Scheme.Length..pathStart];
        Path = text[pathStart..];
        if (Path.Split('/') is ["", "ns", var ns, "sa", var account])
            (Namespace, Account) = (ns, account);
    }

    /// <summary>The trust domain: the name of the mesh whose authority vouches for the ID.</summary>
    public string TrustDomain { get; }

    /// <summary>The path with its leading slash; empty for the ID of a trust domain itself, which no workload may have.</summary>
    public string Path { get; }

    /// <summary>The namespace where the path is <c>/ns/x/sa/y</c>; else null.</summary>
    public string? Namespace { get; }

    /// <summary>The service account where the path is <c>/ns/x/sa/y</c>; else null.</summary>
    public string? Account { get; }

    /// <summary>Reads an ID, or says what is wrong with it.</summary>
    public static bool TryParse(string text, [NotNullWhen(true)] out SpiffeId? id, [NotNullWhen(false)] out string? problem)
    {
        problem = ProblemOf(text, out var pathStart);
        id = problem is null ? new SpiffeId(text, pathStart) : null;
        return id is not null;
    }

    /// <summary>Reads an ID; throws <see cref="FormatException"/> that says what is wrong with it.</summary>
    public static SpiffeId Parse(string text) =>
        TryParse(text, out var id, out var problem) ? id : throw new FormatException(problem);

    /// <summary>The ID of a service account: <c>spiffe://td/ns/x/sa/y</c>; throws <see cref="FormatException"/> where a part does not fit.</summary>
    public static SpiffeId ForWorkload(string trustDomain, string ns, string account)
    {
        if (SegmentProblem(ns) is { } bad) throw new FormatException($"namespace '{ns}' fits in no SPIFFE ID: {bad}");
        if (SegmentProblem(account) is { } worse) throw new FormatException($"account '{account}' fits in no SPIFFE ID: {worse}");
        return Parse($"{Scheme}{trustDomain}/ns/{ns}/sa/{account}");
    }

    /// <summary>What is wrong with a name of a trust domain; null when nothing is.</summary>
    public static string? TrustDomainProblem(ReadOnlySpan<char> name)
    {
        if (name.IsEmpty) return "its trust domain is empty";
        if (name.Length > MaxTrustDomain) return $"its trust domain has {name.Length} letters; {MaxTrustDomain} are allowed";
        var odd = name.IndexOfAnyExcept(TrustDomainLetters);
        if (odd < 0) return null;
        return name[odd] switch
        {
            ':' => "its trust domain has a port",
            '@' => "its trust domain has user information",
            >= 'A' and <= 'Z' => "its trust domain has upper-case letters",
            '%' => "its trust domain is percent-encoded",
            var c => $"its trust domain holds {Show(c)}",
        };
    }

    /// <summary>Whether two are the same ID: letter by letter.</summary>
    public bool Equals(SpiffeId? other) => other is not null && string.Equals(text, other.text, StringComparison.Ordinal);

    /// <inheritdoc/>
    public override int GetHashCode() => text.GetHashCode(StringComparison.Ordinal);

    /// <summary>The ID as a URI.</summary>
    public override string ToString() => text;

    private static string? ProblemOf(string text, out int pathStart)
    {
        pathStart = 0;
        if (string.IsNullOrEmpty(text)) return "a SPIFFE ID is empty";
        if (text.Length > MaxLength) return $"a SPIFFE ID has {text.Length} letters; {MaxLength} are allowed";
        if (!text.StartsWith(Scheme, StringComparison.Ordinal)) return "a SPIFFE ID starts with 'spiffe://', in lower case";
        var slash = text.IndexOf('/', Scheme.Length);
        pathStart = slash < 0 ? text.Length : slash;
        var query = text.AsSpan(Scheme.Length, pathStart - Scheme.Length).IndexOfAny('?', '#');
        if (query >= 0) return $"a SPIFFE ID has no {(text[Scheme.Length + query] == '?' ? "query" : "fragment")}";
        return TrustDomainProblem(text.AsSpan(Scheme.Length, pathStart - Scheme.Length)) ?? PathProblem(text.AsSpan(pathStart));
    }

    private static string? PathProblem(ReadOnlySpan<char> path)
    {
        while (!path.IsEmpty)
        {
            path = path[1..];
            var end = path.IndexOf('/');
            if (SegmentProblem(end < 0 ? path : path[..end]) is { } problem) return "its path has " + problem;
            path = end < 0 ? [] : path[end..];
        }

        return null;
    }

    private static string? SegmentProblem(ReadOnlySpan<char> segment)
    {
        if (segment.IsEmpty) return "an empty segment (a trailing or double slash)";
        if (segment is "." or "..") return "a dot segment";
        var odd = segment.IndexOfAnyExcept(PathLetters);
        if (odd < 0) return null;
        return segment[odd] switch
        {
            '%' => "percent-encoding",
            '?' => "a query",
            '#' => "a fragment",
            var c => "the character " + Show(c),
        };
    }

    private static string Show(char c) => c is > ' ' and < '\u007f' ? $"'{c}'" : $"U+{(int)c:X4}";
}
