using Mesh.ControlPlane.Model.Policies;

namespace Mesh.ControlPlane.Compilation.Policies;

/// <summary>The names of rules in xDS, logs and metrics, in Istio's form. Pure.</summary>
internal static class PolicyKey
{
    /// <summary>The key of a policy as a whole.</summary>
    public static string Of(AuthorizationPolicy policy) => $"ns[{policy.Name.Namespace}]-policy[{policy.Name.Name}]";

    /// <summary>The key of a rule.</summary>
    public static string Of(AuthorizationPolicy policy, int rule) => $"{Of(policy)}-rule[{rule}]";

    /// <summary>The rules of a policy with their keys.</summary>
    public static IEnumerable<(string Key, AuthorizationRule Rule)> All(AuthorizationPolicy policy) =>
        policy.Rules.Select((rule, index) => (Of(policy, index), rule));
}
