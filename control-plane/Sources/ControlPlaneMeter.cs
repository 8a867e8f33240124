namespace Mesh.ControlPlane.Sources;

/// <summary>The name of the meter on which sources make their instruments.</summary>
internal static class ControlPlaneMeter
{
    public const string Name = "Mesh.ControlPlane";
}
