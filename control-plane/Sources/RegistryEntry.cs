using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Sources;

/// <summary>An instance as the registry holds it. Immutable.</summary>
/// <param name="Instance">What it is.</param>
/// <param name="Owner">The replica that wrote it, or null when the mesh did not.</param>
/// <param name="ModifyIndex">The registry's index of its service record.</param>
internal sealed record RegistryEntry(Instance Instance, string? Owner, ulong ModifyIndex);
