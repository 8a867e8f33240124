using System.Collections.Immutable;

namespace Mesh.Api.Rbac.Conditions;

/// <summary>Always the same answer.</summary>
internal sealed class Always(Truth truth) : Condition
{
    public override Truth Holds(scoped in RbacRequest request) => truth;
}

/// <summary>All must hold.</summary>
internal sealed class AllOf(ImmutableArray<Condition> conditions) : Condition
{
    public override Keys? Principals { get; } = Keys.Narrowest(conditions.Select(c => c.Principals));

    public override Keys? Paths { get; } = Keys.Narrowest(conditions.Select(c => c.Paths));

    public override Truth Holds(scoped in RbacRequest request)
    {
        var least = Truth.Yes;
        foreach (var condition in conditions)
        {
            var truth = condition.Holds(request);
            if (truth == Truth.No) return Truth.No;
            if (truth < least) least = truth;
        }

        return least;
    }
}

/// <summary>One must hold.</summary>
internal sealed class AnyOf(ImmutableArray<Condition> conditions) : Condition
{
    public override Keys? Principals { get; } = Keys.Union(conditions.Select(c => c.Principals));

    public override Keys? Paths { get; } = Keys.Union(conditions.Select(c => c.Paths));

    public override Truth Holds(scoped in RbacRequest request)
    {
        var most = Truth.No;
        foreach (var condition in conditions)
        {
            var truth = condition.Holds(request);
            if (truth == Truth.Yes) return Truth.Yes;
            if (truth > most) most = truth;
        }

        return most;
    }
}

/// <summary>The opposite.</summary>
internal sealed class NotThat(Condition condition) : Condition
{
    public override Truth Holds(scoped in RbacRequest request) => condition.Holds(request).Not();
}
