namespace Mesh.Sidecar.Balancing;

/// <summary>Balancing policies known so far.</summary>
public enum LbPolicy
{
    /// <summary>Weighted round robin.</summary>
    RoundRobin,

    /// <summary>Fewest requests in flight of two random choices, weighted.</summary>
    LeastRequest,

    /// <summary>Weighted random.</summary>
    Random,
}
