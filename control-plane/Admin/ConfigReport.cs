using System.Text.Json;
using Google.Protobuf.WellKnownTypes;
using Mesh.Api.Operators;
using Mesh.Api.Xds;
using Mesh.ControlPlane.Compilation;
using Mesh.ControlPlane.Xds;

namespace Mesh.ControlPlane.Admin;

/// <summary>A node's whole configuration as JSON, every resource spelled out. Pure.</summary>
internal static class ConfigReport
{
    /// <summary>The resources of <paramref name="config"/>, by type in make-before-break order, then by name.</summary>
    public static ConfigDump Of(NodeStatus node, NodeConfig config) =>
        new(node, [.. from kind in ResourceKind.InOrder from resource in kind.From(config).Items select Of(kind, resource)]);

    private static ConfigResource Of(ResourceKind kind, Resource resource) => new()
    {
        TypeUrl = kind.TypeUrl,
        Name = resource.Name,
        Version = resource.Version,
        Resource = Parse(resource.Body),
    };

    private static JsonElement Parse(Any body)
    {
        using var document = JsonDocument.Parse(XdsJson.Format(body));
        return document.RootElement.Clone();
    }
}
