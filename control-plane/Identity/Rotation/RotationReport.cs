using Mesh.ControlPlane.Identity.Authority;

namespace Mesh.ControlPlane.Identity.Rotation;

/// <summary>How a change of roots stands, or (rehearsed) how it would go. Immutable.</summary>
/// <param name="State">The change; null when it is only rehearsed.</param>
/// <param name="WaitsFor">Who holds it up.</param>
/// <param name="Text">The same in words.</param>
internal sealed record RotationReport(RotationState? State, IReadOnlyList<Laggard> WaitsFor, string Text);
