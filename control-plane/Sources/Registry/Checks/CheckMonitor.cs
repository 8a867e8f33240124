namespace Mesh.ControlPlane.Sources.Registry.Checks;

/// <summary>Watches over one check from its registration to its end. Disposing it ends its timer or loop.</summary>
internal abstract class CheckMonitor(CheckDefinition check) : IAsyncDisposable
{
    public CheckDefinition Check { get; } = check;

    public abstract void Start();

    public abstract ValueTask DisposeAsync();
}
