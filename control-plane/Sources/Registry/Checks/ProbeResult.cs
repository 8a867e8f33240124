namespace Mesh.ControlPlane.Sources.Registry.Checks;

/// <summary>What one try of a check found. Immutable.</summary>
internal readonly record struct ProbeResult(string Status, string Output);
