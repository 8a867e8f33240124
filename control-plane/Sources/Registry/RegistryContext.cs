using Mesh.ControlPlane.Sources.Registry.Checks;
using Mesh.ControlPlane.Sources.Registry.Http;
using Mesh.ControlPlane.Sources.Registry.Store;

namespace Mesh.ControlPlane.Sources.Registry;

/// <summary>What the endpoints work with. Immutable; its parts are thread safe.</summary>
internal sealed record RegistryContext(string Datacenter, RegistryStore Store, BlockingQuery Queries, CheckRunner Checks, SessionExpiry Sessions)
{
    /// <summary>Completes when what was changed is on disk; at once when nothing is kept.</summary>
    public required Func<Task> SavedAsync { get; init; }
}
