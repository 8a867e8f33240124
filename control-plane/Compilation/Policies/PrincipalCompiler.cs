using Envoy.Config.Rbac.V3;
using Envoy.Type.Matcher.V3;
using Mesh.ControlPlane.Model.Policies;

namespace Mesh.ControlPlane.Compilation.Policies;

/// <summary>Who calls: sources and conditions about them -> xDS RBAC principals. Pure.</summary>
internal static class PrincipalCompiler
{
    /// <summary>All of them; none is anybody.</summary>
    public static Principal All(IReadOnlyList<Principal> parts) => parts.Count switch
    {
        0 => new Principal { Any = true },
        1 => parts[0],
        _ => new Principal { AndIds = new Principal.Types.Set { Ids = { parts } } },
    };

    /// <summary>The parts of a source.</summary>
    public static IEnumerable<Principal> Source(CallSource source, AuthorizationRule rule, RuleScope scope)
    {
        var ns = rule.Source.Namespace;
        return
        [
            .. Parts(source.Principals, text => Named(IdentityPattern.Principal(text, scope.TrustDomain))),
            .. Parts(source.Namespaces, text => Named(IdentityPattern.Namespace(text, scope.TrustDomain))),
            .. Parts(source.ServiceAccounts, text => Named(IdentityPattern.Account(text, ns, scope.TrustDomain))),
            .. Parts(source.IpBlocks, Address),
        ];
    }

    /// <summary>A condition about the caller or the request's headers; null for one about the destination.</summary>
    public static Principal? Condition(CallCondition condition, string policyNamespace, RuleScope scope)
    {
        Func<string, Principal>? one = condition.Attribute switch
        {
            CallAttribute.RequestHeader => text => new Principal { Header = HeaderPattern.Compile(condition.Header, text, scope.Dialect) },
            CallAttribute.SourceIp => Address,
            CallAttribute.SourceNamespace => text => Named(IdentityPattern.Namespace(text, scope.TrustDomain)),
            CallAttribute.SourceServiceAccount => text => Named(IdentityPattern.Account(text, policyNamespace, scope.TrustDomain)),
            CallAttribute.SourcePrincipal => text => Named(IdentityPattern.Principal(text, scope.TrustDomain)),
            _ => null,
        };
        return one is null ? null : All([.. Parts(condition.Values, one)]);
    }

    private static IEnumerable<Principal> Parts(Values values, Func<string, Principal> one)
    {
        if (!values.Any.IsEmpty) yield return Any([.. values.Any.Select(one)]);
        if (!values.Not.IsEmpty) yield return new Principal { NotId = Any([.. values.Not.Select(one)]) };
    }

    private static Principal Any(IReadOnlyList<Principal> alternatives) =>
        alternatives.Count == 1 ? alternatives[0] : new Principal { OrIds = new Principal.Types.Set { Ids = { alternatives } } };

    private static Principal Named(StringMatcher name) => new() { Authenticated = new Principal.Types.Authenticated { PrincipalName = name } };

    private static Principal Address(string block) => new() { DirectRemoteIp = AddressBlock.Compile(block) };
}
