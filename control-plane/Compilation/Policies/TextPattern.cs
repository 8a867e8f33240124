using Envoy.Type.Matcher.V3;

namespace Mesh.ControlPlane.Compilation.Policies;

/// <summary>Patterns of policies, <c>abc</c>, <c>abc*</c>, <c>*abc</c> and <c>*</c> -> matchers. Pure.</summary>
internal static class TextPattern
{
    /// <summary>The matcher of a pattern other than <c>*</c>, which is no text to compare with.</summary>
    public static StringMatcher Compile(string text, bool ignoreCase = false)
    {
        if (text[0] == '*') return new StringMatcher { Suffix = text[1..], IgnoreCase = ignoreCase };
        return text[^1] == '*' ? new StringMatcher { Prefix = text[..^1], IgnoreCase = ignoreCase } : new StringMatcher { Exact = text, IgnoreCase = ignoreCase };
    }

    /// <summary>Text as a regular expression that matches just it, in .NET's engine and in RE2.</summary>
    public static string Escape(string text) =>
        string.Concat(text.Select(c => char.IsAsciiLetterOrDigit(c) || c is '/' or '_' or '-' or '~' or '%' or ':' or '@' or '=' or ',' or '!' or '\'' or '&' ? c.ToString() : "\\" + c));
}
