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
            // What is outside of the mesh is in no registry.
            if (!name.IsHost) names.Add(name);
            if (world.Find(name) is { } service) names.UnionWith(service.Backends(node.Namespace).Select(backend => backend.Service).Where(backend => !backend.IsHost));
        }

        return new Interest(false, names.ToFrozenSet());
    }

    /// <summary>False while the registry has not been read for one of them; see <see cref="CompiledWorld.IsKnown"/>.</summary>
    public static bool AreKnown(CompiledWorld compiled, NodeDescription node, IEnumerable<string> listeners, bool isFirst)
    {
        if (compiled.World.Unread.Names.Count == 0) return true;
        var needs = Of(compiled, node, listeners);
        if (needs.All && isFirst) return false;
        // A new service is no reason to keep changes from those who discover all, but routes must not lead to it yet.
        var services = needs.All ? compiled.Services.SelectMany(s => s.Backends(node.Namespace)).Select(backend => backend.Service) : needs.Services;
        return !services.Any(compiled.World.IsUnread);
    }

    private static string WithoutPort(string target)
    {
        var colon = target.LastIndexOf(':');
        return colon < 0 ? target : target[..colon];
    }
}
