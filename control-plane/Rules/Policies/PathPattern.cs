using System.Text.RegularExpressions;

namespace Mesh.ControlPlane.Rules.Policies;

/// <summary>
/// Paths in policies. They are compared with one canonical form of the request's path, so one that is not in that form would never match,
/// which in a DENY policy nobody would notice: it is refused. Pure.
/// </summary>
internal static partial class PathPattern
{
    private const string OneSegment = "{*}";
    private const string AnyPath = "{**}";

    /// <summary>What is wrong with a path, or null. A <c>*</c> may stand at one end; or <c>{*}</c> for a segment and, last, <c>{**}</c> for any rest.</summary>
    public static string? Problem(string text)
    {
        if (text.Contains('{', StringComparison.Ordinal) || text.Contains('}', StringComparison.Ordinal)) return TemplateProblem(text);
        if (text == "*") return null;
        var (path, openStart) = (text.Trim('*'), text[0] == '*');
        if (!openStart && path[0] != '/') return $"must begin with / (or with *), is \"{text}\"";
        return SegmentsProblem(text, path, openStart, openEnd: text[^1] == '*');
    }

    /// <summary>True when the path has segment templates.</summary>
    public static bool IsTemplate(string text) => text.Contains('{', StringComparison.Ordinal);

    // Istio's URI templates: {*} stands for one whole segment, {**} for any number of them, once and last of all.
    private static string? TemplateProblem(string text)
    {
        if (text[0] != '/') return $"must begin with /, is \"{text}\"";
        var segments = text[1..].Split('/');
        for (var i = 0; i < segments.Length; i++)
        {
            var segment = segments[i];
            if (segment is OneSegment || (segment is AnyPath && i == segments.Length - 1)) continue;
            if (segment is AnyPath) return $"{AnyPath} must be the last segment, is \"{text}\"";
            if (segment.Contains('{', StringComparison.Ordinal) || segment.Contains('}', StringComparison.Ordinal))
                return $"{OneSegment} and {AnyPath} must be whole segments, is \"{text}\"";
            if (segment.Contains('*', StringComparison.Ordinal)) return $"must not mix * with {OneSegment} and {AnyPath}, is \"{text}\"";
        }

        return SegmentsProblem(text, text.Replace(AnyPath, "x", StringComparison.Ordinal).Replace(OneSegment, "x", StringComparison.Ordinal), openStart: false, openEnd: false);
    }

    private static string? SegmentsProblem(string text, string path, bool openStart, bool openEnd)
    {
        if (path.Contains('?', StringComparison.Ordinal) || path.Contains('#', StringComparison.Ordinal))
            return $"must be a path without query and fragment: these are not looked at, is \"{text}\"";
        if (path.Contains(';', StringComparison.Ordinal)) return $"must not contain ;, path parameters are not looked at, is \"{text}\"";
        if (Encoded().Match(path) is { Success: true } encoded) return $"must be written with / and without %2F, %5C, %00: requests with {encoded.Value} are refused, is \"{text}\"";
        if (NeedlesslyEncoded().Match(path) is { Success: true } needless)
            return $"must be written without {needless.Value}: paths are compared with plain letters, digits, - . _ and ~ decoded, is \"{text}\"";
        if (!Form().IsMatch(path)) return $"must be a URL path, special characters as %XX with upper-case digits, is \"{text}\"";
        if (path.Contains("//", StringComparison.Ordinal)) return $"must not contain //: paths are compared with single slashes, is \"{text}\"";
        var segments = path.Split('/');
        for (var i = openStart ? 1 : 0; i < segments.Length - (openEnd ? 1 : 0); i++)
        {
            if (segments[i] is "." or "..") return $"must not contain /{segments[i]}/: paths are compared with these resolved, is \"{text}\"";
        }

        return null;
    }

    [GeneratedRegex("%(?:2[fF]|5[cC]|00)", RegexOptions.CultureInvariant, 1000)]
    private static partial Regex Encoded();

    [GeneratedRegex("%(?:2[dDeE]|3[0-9]|4[1-9a-fA-F]|5[0-9aAfF]|6[1-9a-fA-F]|7[0-9aAeE])", RegexOptions.CultureInvariant, 1000)]
    private static partial Regex NeedlesslyEncoded();

    [GeneratedRegex("^(?:[-A-Za-z0-9/._~!$&'()+,=:@]|%[0-9A-F]{2})+$", RegexOptions.CultureInvariant, 1000)]
    private static partial Regex Form();
}
