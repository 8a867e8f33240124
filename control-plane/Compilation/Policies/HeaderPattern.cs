using Envoy.Config.Route.V3;

namespace Mesh.ControlPlane.Compilation.Policies;

/// <summary>Header patterns of policies -> matchers, in the dialect of the reader. Pure.</summary>
internal static class HeaderPattern
{
    /// <summary>The matcher of a header; <c>*</c> asks only that it is there.</summary>
    public static HeaderMatcher Compile(string name, string text, EmitterKind dialect)
    {
        if (text == "*") return new HeaderMatcher { Name = name, PresentMatch = true };
        if (dialect != EmitterKind.Grpc) return new HeaderMatcher { Name = name, StringMatch = TextPattern.Compile(text) };
        // gRPC C-core before A63 refuses string_match; the deprecated fields are understood by all.
        if (text[0] == '*') return new HeaderMatcher { Name = name, SuffixMatch = text[1..] };
        return text[^1] == '*' ? new HeaderMatcher { Name = name, PrefixMatch = text[..^1] } : new HeaderMatcher { Name = name, ExactMatch = text };
    }
}
