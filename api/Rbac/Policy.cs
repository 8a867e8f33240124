using Mesh.Api.Rbac.Conditions;

namespace Mesh.Api.Rbac;

/// <summary>A compiled policy: one of its permissions and one of its principals must hold. Immutable.</summary>
internal sealed class Policy(string key, Condition permissions, Condition principals)
{
    public string Key => key;

    /// <summary>Principals beside which it cannot match, or null.</summary>
    public Keys? Principals { get; } = Keys.Narrowest([permissions.Principals, principals.Principals]);

    /// <summary>Paths beside which it cannot match, or null.</summary>
    public Keys? Paths { get; } = Keys.Narrowest([permissions.Paths, principals.Paths]);

    public Truth Matches(scoped in RbacRequest request)
    {
        // Principals first: a comparison with what a connection has proved costs less than most permissions.
        var who = principals.Holds(request);
        if (who == Truth.No) return Truth.No;
        var what = permissions.Holds(request);
        return what < who ? what : who;
    }
}
