using System.Collections.Frozen;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Compilation;

/// <summary>Which services a node's configuration is made of, existing or not. Pure.</summary>
internal static class NodeNeeds
{
    /// <summary>Everything, for a node with an outbound listener that discovers all; else what it names and what the routes there lead to.</summary>
    public static Interest Of(CompiledWorld world, NodeDescription node, IEnumerable<string> listeners)
    {
        if (node.SeesEverything) return new Interest(true, FrozenSet<ServiceName>.Empty);
        var hosts = node.Emitter == EmitterKind.Grpc ? listeners.Select(WithoutPort) : node.Upstreams.Select(upstream => upstream.Service);
        var names = new HashSet<ServiceName>();
        foreach (var name in hosts.SelectMany(host => ServiceHosts.Meanings(host, node.Namespace)))
        {
            names.Add(name);
            if (world.Find(name) is { } service) names.UnionWith(service.Backends(node.Namespace).Select(backend => backend.Service));
        }

        return new Interest(false, names.ToFrozenSet());
    }

    private static string WithoutPort(string target)
    {
        var colon = target.LastIndexOf(':');
        return colon < 0 ? target : target[..colon];
    }
}
