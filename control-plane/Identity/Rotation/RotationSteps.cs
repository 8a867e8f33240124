using Mesh.ControlPlane.Identity.Authority;

namespace Mesh.ControlPlane.Identity.Rotation;

/// <summary>The steps of a change of roots, each from one state of the authority to the next, or null where it is not due. Pure but for new keys.</summary>
internal static class RotationSteps
{
    /// <summary>Whether one is under way.</summary>
    public static bool IsRunning(AuthorityState state) => state.Rotation is { Phase: not RotationPhase.Done };

    /// <summary>Adds a new root, which signs nothing yet; null while a change is under way.</summary>
    public static AuthorityState? Begin(AuthorityState state, Lifetimes lifetimes, DateTimeOffset now)
    {
        if (IsRunning(state)) return null;
        var root = StoredRoot.Create(state.TrustDomain, lifetimes, now);
        return state with { Roots = state.Roots.Add(root), Rotation = new RotationState(RotationPhase.Distribute, state.Issuing, root.Id, now, now) };
    }

    /// <summary>The next step after a phase; null when the phase is over already.</summary>
    public static AuthorityState? After(RotationState seen, AuthorityState state, DateTimeOffset now)
    {
        if (state.Rotation is not { } rotation || rotation != seen) return null;
        return rotation.Phase switch
        {
            RotationPhase.Distribute => state with { Issuing = rotation.NewRoot, Rotation = rotation with { Phase = RotationPhase.Renew, PhaseSince = now } },
            RotationPhase.Renew => state with
            {
                Roots = state.Roots.RemoveAll(root => root.Id != rotation.NewRoot),
                Rotation = rotation with { Phase = RotationPhase.Done, PhaseSince = now },
            },
            _ => null,
        };
    }
}
