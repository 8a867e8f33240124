using Envoy.Type.Matcher.V3;
using Mesh.ControlPlane.Model.Policies;

namespace Mesh.ControlPlane.Compilation.Policies;

/// <summary>Principals, namespaces and accounts of policies -> matchers of the peer's SPIFFE ID. Pure.</summary>
internal static class IdentityPattern
{
    private static readonly StringMatcher Anybody = new() { Prefix = IdentityName.Scheme };

    /// <summary>A principal, with or without <c>spiffe://</c>. <c>cluster.local</c> always means the mesh's own trust domain, as in Istio.</summary>
    public static StringMatcher Principal(string text, string trustDomain)
    {
        if (text == "*") return Anybody.Clone();
        if (text[0] == '*') return new StringMatcher { Suffix = text[1..] };
        if (text.StartsWith(IdentityName.Scheme, StringComparison.Ordinal)) text = text[IdentityName.Scheme.Length..];
        if (text.StartsWith(Trust.DefaultDomain + "/", StringComparison.Ordinal)) text = trustDomain + text[Trust.DefaultDomain.Length..];
        return TextPattern.Compile(IdentityName.Scheme + text);
    }

    /// <summary>A namespace of the mesh's own trust domain.</summary>
    public static StringMatcher Namespace(string text, string trustDomain)
    {
        var domain = IdentityName.PrefixOf(trustDomain) + "ns/";
        if (text == "*") return new StringMatcher { Prefix = domain };
        if (text[^1] == '*') return new StringMatcher { Prefix = domain + text[..^1] };
        return text[0] == '*'
            ? new StringMatcher { SafeRegex = new RegexMatcher { Regex = $"{TextPattern.Escape(domain)}[^/]*{TextPattern.Escape(text[1..])}/.+" } }
            : new StringMatcher { Prefix = $"{domain}{text}/" };
    }

    /// <summary>An account, <c>namespace/account</c> or one of the policy's namespace.</summary>
    public static StringMatcher Account(string text, string policyNamespace, string trustDomain) => text.Split('/') is [var ns, var account]
        ? new StringMatcher { Exact = IdentityName.Of(trustDomain, ns, account) }
        : new StringMatcher { Exact = IdentityName.Of(trustDomain, policyNamespace, text) };
}
