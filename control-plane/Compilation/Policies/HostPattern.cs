using Envoy.Config.Route.V3;
using Envoy.Type.Matcher.V3;

namespace Mesh.ControlPlane.Compilation.Policies;

/// <summary>
/// Host patterns of policies -> matchers of <c>:authority</c>, in any case of letters. A host without port means that host on every port:
/// otherwise a caller would get around a DENY rule by naming the port. Pure.
/// </summary>
internal static class HostPattern
{
    private const string Authority = ":authority";

    /// <summary>Any of these.</summary>
    public static IEnumerable<HeaderMatcher> Compile(string text, EmitterKind dialect)
    {
        if (text == "*") return [new HeaderMatcher { Name = Authority, PresentMatch = true }];
        if (text[^1] == '*' || HasPort(text)) return [Match(TextPattern.Compile(text, ignoreCase: true), text, dialect)];
        if (text[0] == '*') return [Expression("(?i).*" + TextPattern.Escape(text[1..]) + "(:[0-9]+)?", dialect)];
        return dialect == EmitterKind.Grpc
            ? [Expression("(?i)" + TextPattern.Escape(text) + "(:[0-9]+)?", dialect)]
            : [Match(TextPattern.Compile(text, ignoreCase: true), text, dialect), Match(TextPattern.Compile(text + ":*", ignoreCase: true), text, dialect)];
    }

    private static bool HasPort(string text)
    {
        var colon = text.LastIndexOf(':');
        return colon > text.LastIndexOf(']') && colon < text.Length - 1;
    }

    private static HeaderMatcher Match(StringMatcher matcher, string text, EmitterKind dialect) => dialect == EmitterKind.Grpc
        ? Expression("(?i)" + (text[0] == '*' ? ".*" : "") + TextPattern.Escape(text.Trim('*')) + (text[^1] == '*' ? ".*" : ""), dialect)
        : new HeaderMatcher { Name = Authority, StringMatch = matcher };

    private static HeaderMatcher Expression(string regex, EmitterKind dialect)
    {
        var matcher = new RegexMatcher { Regex = regex };
        return dialect == EmitterKind.Grpc
            ? new HeaderMatcher { Name = Authority, SafeRegexMatch = matcher }
            : new HeaderMatcher { Name = Authority, StringMatch = new StringMatcher { SafeRegex = matcher } };
    }
}
