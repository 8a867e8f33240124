using System.Collections.Immutable;
using Mesh.Api.Rbac;

namespace Mesh.Sidecar.Config;

/// <summary>
/// What the RBAC filters of a chain decide: DENY before ALLOW before LOG, whatever their order in the chain was. Immutable; an absent one
/// allows everything and costs nothing.
/// </summary>
internal sealed record Authorization(ImmutableArray<AuthorizationFilter> Filters)
{
    /// <summary>
    /// True when a rule that is enforced looks at paths: a request whose path has no single meaning is refused then. Rules that are only
    /// tried out, or only log, refuse nothing.
    /// </summary>
    public bool ReadsPath { get; } = Filters.Any(f => f.Rules is { ReadsPath: true, Action: not RbacAction.Log });

    /// <summary>True when any rule looks at paths.</summary>
    public bool LooksAtPath { get; } = Filters.Any(f => f.Rules is { ReadsPath: true } || f.Shadow is { ReadsPath: true });

    /// <summary>Filters in the order they are asked.</summary>
    public static Authorization? Of(IEnumerable<AuthorizationFilter> filters)
    {
        var ordered = filters.OrderBy(f => (f.Rules ?? f.Shadow)?.Action switch { RbacAction.Deny => 0, RbacAction.Allow => 1, _ => 2 }).ToImmutableArray();
        return ordered.IsEmpty ? null : new Authorization(ordered);
    }
}

/// <summary>One RBAC filter. Immutable.</summary>
/// <param name="Name">Its name in the chain.</param>
/// <param name="Rules">What is enforced; null enforces nothing.</param>
/// <param name="Shadow">What is tried out: its decisions are counted and logged, and change nothing. Null when there is none.</param>
internal sealed record AuthorizationFilter(string Name, RbacEngine? Rules, RbacEngine? Shadow);
