using Envoy.Config.Rbac.V3;
using Mesh.ControlPlane.Model.Policies;

namespace Mesh.ControlPlane.Compilation.Policies;

/// <summary>
/// One rule of an AuthorizationPolicy -> an xDS RBAC policy for one port. On TCP, what looks at HTTP never matches in an ALLOW or AUDIT
/// rule, and is left out of a DENY rule, which then denies more: either way nothing gets through that the rule did not mean to let through. Pure.
/// </summary>
internal static class RuleCompiler
{
    /// <summary>The policy, or null when the rule can match nothing on this port.</summary>
    public static Policy? Compile(AuthorizationRule rule, PolicyAction action, RuleScope scope)
    {
        var whole = scope.Http || action == PolicyAction.Deny;
        var conditions = rule.When.Where(condition => scope.Http || !condition.IsHttp).ToArray();
        if (!whole && conditions.Length < rule.When.Length) return null;
        if (conditions.Any(condition => condition.Attribute == CallAttribute.DestinationPort && !ReachesPort(condition.Values, scope.Port))) return null;

        var operations = rule.To.Where(operation => ReachesPort(operation.Ports, scope.Port) && (whole || !operation.IsHttp)).ToArray();
        if (rule.To.Length > 0 && operations.Length == 0) return null;

        var policy = new Policy();
        var callers = conditions.Select(condition => PrincipalCompiler.Condition(condition, rule.Source.Namespace, scope)).OfType<Principal>().ToArray();
        var calls = conditions.Select(condition => PermissionCompiler.Condition(condition)).OfType<Permission>().ToArray();
        if (rule.From.IsEmpty) policy.Principals.Add(PrincipalCompiler.All(callers));
        else policy.Principals.AddRange(rule.From.Select(source => PrincipalCompiler.All([.. PrincipalCompiler.Source(source, rule, scope), .. callers])));
        if (operations.Length == 0) policy.Permissions.Add(PermissionCompiler.All(calls));
        else policy.Permissions.AddRange(operations.Select(operation => PermissionCompiler.All([.. PermissionCompiler.Operation(operation, scope), .. calls])));
        return policy;
    }

    /// <summary>True when the rule can decide by something only HTTP has, on this port.</summary>
    public static bool LooksAtHttp(AuthorizationRule rule, int port) =>
        Reaches(rule, port) && (rule.When.Any(condition => condition.IsHttp) || rule.To.Any(operation => operation.IsHttp && ReachesPort(operation.Ports, port)));

    /// <summary>True when the rule looks at the path, on this port.</summary>
    public static bool LooksAtPath(AuthorizationRule rule, int port) =>
        Reaches(rule, port) && rule.To.Any(operation => !operation.Paths.IsEmpty && ReachesPort(operation.Ports, port));

    private static bool Reaches(AuthorizationRule rule, int port) =>
        (rule.To.IsEmpty || rule.To.Any(operation => ReachesPort(operation.Ports, port)))
        && rule.When.All(condition => condition.Attribute != CallAttribute.DestinationPort || ReachesPort(condition.Values, port));

    private static bool ReachesPort(Values ports, int port)
    {
        var text = port.ToString(System.Globalization.CultureInfo.InvariantCulture);
        return (ports.Any.IsEmpty || ports.Any.Contains(text)) && !ports.Not.Contains(text);
    }
}
