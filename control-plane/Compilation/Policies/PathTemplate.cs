using Envoy.Type.Matcher.V3;

namespace Mesh.ControlPlane.Compilation.Policies;

/// <summary>Paths of policies -> matchers of the canonical path without query. Pure.</summary>
internal static class PathTemplate
{
    /// <summary>The matcher of a path, a pattern or a template with <c>{*}</c> (one segment) and <c>{**}</c> (any rest).</summary>
    public static StringMatcher Compile(string text)
    {
        if (!text.Contains('{', StringComparison.Ordinal)) return TextPattern.Compile(text);
        var segments = text.Split('/').Select(segment => segment switch
        {
            "{*}" => "[^/]+",
            "{**}" => ".*",
            _ => TextPattern.Escape(segment),
        });
        return new StringMatcher { SafeRegex = new RegexMatcher { Regex = string.Join('/', segments) } };
    }
}
