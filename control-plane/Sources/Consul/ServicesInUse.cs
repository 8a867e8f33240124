using System.Collections.Immutable;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Sources.Consul;

/// <summary>Which services of the catalog somebody needs. Pure.</summary>
internal static class ServicesInUse
{
    /// <summary>Consul's own service: its servers, no business of a mesh.</summary>
    private const string ConsulItself = "consul";

    /// <summary>The catalog's names that are needed, out of those that can be.</summary>
    public static HashSet<string> Of(IEnumerable<string> catalog, Interest interest, World world, IEnumerable<RuleSet> rules)
    {
        var needed = interest.All ? null : Needed(interest, world, rules);
        return catalog.Where(name => MeshName(name) is { } mesh && (needed is null || needed.Contains(mesh))).ToHashSet(StringComparer.Ordinal);
    }

    /// <summary>The catalog's names that cannot be in the mesh, in order.</summary>
    public static ImmutableArray<string> Unnameable(IEnumerable<string> catalog) =>
        [.. catalog.Where(name => name != ConsulItself && EntryMapping.MeshName(name) is null).Order(StringComparer.Ordinal)];

    /// <summary>The name in the mesh of a service of the catalog; null for one that cannot be in it.</summary>
    public static string? MeshName(string name) => name == ConsulItself ? null : EntryMapping.MeshName(name);

    /// <summary>The names asked for and what their routes and selectors lead to; null when that may be anything.</summary>
    private static HashSet<string>? Needed(Interest interest, World world, IEnumerable<RuleSet> rules)
    {
        var selectors = rules.SelectMany(r => r.Services).Where(s => s.Selector is not null).ToLookup(s => s.Name, s => s.Selector!);
        var services = new HashSet<ServiceName>(interest.Services);
        var open = new Queue<ServiceName>(services);
        var names = new HashSet<string>(StringComparer.Ordinal);
        while (open.TryDequeue(out var service))
        {
            names.Add(service.Name);
            foreach (var selector in selectors[service])
            {
                // Instances carry their service as the label "app"; a selector without it may find instances of any service.
                if (!selector.TryGetValue("app", out var app)) return null;
                names.Add(app);
            }

            foreach (var backend in BackendsOf(world, service))
                if (services.Add(backend)) open.Enqueue(backend);
        }

        return names;
    }

    private static IEnumerable<ServiceName> BackendsOf(World world, ServiceName service) =>
        world.Services.TryGetValue(service, out var found)
            ? found.Routes.SelectMany(route => route.Rules).SelectMany(rule => rule.Backends).Select(backend => backend.Service)
            : [];
}
