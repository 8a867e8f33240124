using Envoy.Config.Rbac.V3;
using Envoy.Type.Matcher.V3;
using Mesh.ControlPlane.Model.Policies;

namespace Mesh.ControlPlane.Compilation.Policies;

/// <summary>What is called: operations and conditions about the destination -> xDS RBAC permissions. Ports are decided before. Pure.</summary>
internal static class PermissionCompiler
{
    /// <summary>All of them; none is anything.</summary>
    public static Permission All(IReadOnlyList<Permission> parts) => parts.Count switch
    {
        0 => new Permission { Any = true },
        1 => parts[0],
        _ => new Permission { AndRules = new Permission.Types.Set { Rules = { parts } } },
    };

    /// <summary>The parts of an operation that this scope can look at.</summary>
    public static IEnumerable<Permission> Operation(CallOperation operation, RuleScope scope) => !scope.Http ? [] :
    [
        .. Parts(operation.Hosts, text => Any([.. HostPattern.Compile(text, scope.Dialect).Select(host => new Permission { Header = host })])),
        .. Parts(operation.Methods, text => new Permission { Header = HeaderPattern.Compile(":method", text, scope.Dialect) }),
        .. Parts(operation.Paths, text => text == "*" ? new Permission { Any = true } : new Permission { UrlPath = new PathMatcher { Path = PathTemplate.Compile(text) } }),
    ];

    /// <summary>A condition about the destination; null for one about the caller or the request, or one that is decided.</summary>
    public static Permission? Condition(CallCondition condition)
    {
        if (condition.Attribute != CallAttribute.DestinationIp) return null;
        return All([.. Parts(condition.Values, text => new Permission { DestinationIp = AddressBlock.Compile(text) })]);
    }

    private static IEnumerable<Permission> Parts(Values values, Func<string, Permission> one)
    {
        if (!values.Any.IsEmpty) yield return Any([.. values.Any.Select(one)]);
        if (!values.Not.IsEmpty) yield return new Permission { NotRule = Any([.. values.Not.Select(one)]) };
    }

    private static Permission Any(IReadOnlyList<Permission> alternatives) =>
        alternatives.Count == 1 ? alternatives[0] : new Permission { OrRules = new Permission.Types.Set { Rules = { alternatives } } };
}
