namespace Mesh.ControlPlane.Identity.Authority;

/// <summary>A change of roots, kept with the authority, so that any control plane goes on with it. Immutable.</summary>
/// <param name="Phase">How far it is.</param>
/// <param name="OldRoot">SHA-256 of the root that goes.</param>
/// <param name="NewRoot">SHA-256 of the root that comes.</param>
/// <param name="Started">When it began.</param>
/// <param name="PhaseSince">When the phase began.</param>
internal sealed record RotationState(RotationPhase Phase, string OldRoot, string NewRoot, DateTimeOffset Started, DateTimeOffset PhaseSince);

/// <summary>The phases of a change of roots. At each moment everybody believes what anybody shows.</summary>
internal enum RotationPhase
{
    /// <summary>The new root is in the bundle; certificates are issued under the old one until everybody believes the new one.</summary>
    Distribute,

    /// <summary>Certificates are issued under the new root; the old one is believed until nobody holds a certificate under it.</summary>
    Renew,

    /// <summary>The old root is gone.</summary>
    Done,
}
