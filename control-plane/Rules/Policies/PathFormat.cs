using Mesh.Api.Rbac;

namespace Mesh.ControlPlane.Rules.Policies;

/// <summary>
/// Paths in policies: <c>/a</c>, <c>/a*</c>, <c>*/a</c>, <c>*</c>, and templates with <c>{*}</c> for one segment and, last, <c>{**}</c> for any
/// rest. They are compared with the canonical form of the request's path, and brought into it here; one that no request could have is an
/// error, since in a DENY policy nobody would notice that it never matches. Pure.
/// </summary>
internal static class PathFormat
{
    private const string OneSegment = "{*}";
    private const string AnyRest = "{**}";

    /// <summary>What is wrong with a path, or null.</summary>
    public static string? Problem(string text)
    {
        _ = Read(text, out var problem);
        return problem is null ? null : $"{problem}, is \"{text}\"";
    }

    /// <summary>The canonical form; the text itself when something is wrong with it.</summary>
    public static string Canonical(string text) => Read(text, out _) ?? text;

    private static string? Read(string text, out string? problem)
    {
        if (IsTemplate(text)) return ReadTemplate(text, out problem);
        problem = null;
        if (text == "*") return text;
        if (text[0] == '*') return CanonicalPath.OfPattern(text[1..], PathPattern.Suffix, out problem) is { } end ? "*" + end : null;
        return text[^1] == '*'
            ? CanonicalPath.OfPattern(text[..^1], PathPattern.Prefix, out problem) is { } start ? start + "*" : null
            : CanonicalPath.OfPattern(text, PathPattern.Exact, out problem);
    }

    private static bool IsTemplate(string text) => text.Contains('{', StringComparison.Ordinal) || text.Contains('}', StringComparison.Ordinal);

    // Istio's URI templates. Operators stand for whole segments, so that no value of theirs can reach into the next one.
    private static string? ReadTemplate(string text, out string? problem)
    {
        var segments = text.Split('/');
        problem = TemplateProblem(segments);
        if (problem is not null) return null;
        _ = CanonicalPath.OfPattern(string.Join('/', segments.Select(segment => IsTemplate(segment) ? "x" : segment)), PathPattern.Exact, out problem);
        if (problem is not null) return null;
        return string.Join('/', segments.Select(segment => segment.Length == 0 || IsTemplate(segment)
            ? segment
            : CanonicalPath.OfPattern("/" + segment, PathPattern.Exact, out _)![1..]));
    }

    private static string? TemplateProblem(string[] segments)
    {
        for (var i = 0; i < segments.Length; i++)
        {
            var segment = segments[i];
            if (segment is OneSegment || (segment is AnyRest && i == segments.Length - 1)) continue;
            if (segment is AnyRest) return $"takes {AnyRest} as its last segment only";
            if (IsTemplate(segment)) return $"takes {OneSegment} and {AnyRest} as whole segments only";
            if (segment.Contains('*', StringComparison.Ordinal)) return $"does not take * beside {OneSegment} and {AnyRest}";
        }

        return null;
    }
}
