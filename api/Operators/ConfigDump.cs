using System.Text.Json;

namespace Mesh.Api.Operators;

/// <summary>All resources the control plane compiled for one node. Immutable.</summary>
public sealed record ConfigDump(NodeStatus Node, IReadOnlyList<ConfigResource> Resources);

/// <summary>One xDS resource in the protobuf JSON form. Immutable.</summary>
public sealed record ConfigResource
{
    /// <summary>Its type URL.</summary>
    public required string TypeUrl { get; init; }

    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary>Its own content version.</summary>
    public string Version { get; init => field = value ?? ""; } = "";

    /// <summary>The resource.</summary>
    public JsonElement Resource { get; init; }
}
