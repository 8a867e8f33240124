using Mesh.ControlPlane.Sources.Registry.Store;
using Microsoft.AspNetCore.Http;

namespace Mesh.ControlPlane.Sources.Registry.Http;

/// <summary>The options that choose instances: <c>tag</c> (all of them, in any case) and <c>node-meta</c> (key:value, all of them). Immutable.</summary>
internal sealed class InstanceFilter(IQueryCollection query)
{
    private readonly string[] tags = [.. query["tag"].OfType<string>()];
    private readonly (string Key, string Value)[] nodeMeta = [.. query["node-meta"].OfType<string>().Select(Split)];

    public bool TakesAllNodes => nodeMeta.Length == 0;

    public bool TakesNode(NodeEntry node) => nodeMeta.All(m => node.Meta.TryGetValue(m.Key, out var value) && value == m.Value);

    public bool Takes(NodeEntry node, ServiceEntry service) =>
        tags.All(t => service.Tags.Contains(t, StringComparer.OrdinalIgnoreCase)) && TakesNode(node);

    private static (string Key, string Value) Split(string pair)
    {
        var colon = pair.IndexOf(':', StringComparison.Ordinal);
        return colon < 0 ? (pair, "") : (pair[..colon], pair[(colon + 1)..]);
    }
}
