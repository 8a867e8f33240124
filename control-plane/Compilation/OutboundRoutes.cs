using System.Collections.Immutable;
using Envoy.Config.Route.V3;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Compilation;

/// <summary>The route configuration of an outbound listener, with what it was put together from. Immutable.</summary>
/// <param name="Parts">The virtual hosts of the services.</param>
/// <param name="Table">The packed configuration.</param>
/// <param name="Notices">Domains that two services claim.</param>
internal sealed record OutboundRoutes(ImmutableArray<VirtualHost> Parts, Resource Table, ImmutableArray<Notice> Notices)
{
    private static readonly VirtualHost AllowAny = Others("allow_any", "passthrough", XdsNames.Passthrough);
    private static readonly VirtualHost RegistryOnly = Others("registry_only", "refused", XdsNames.BlackHole);

    /// <summary>Puts virtual hosts together; the same parts as in <paramref name="previous"/> give that one.</summary>
    /// <param name="parts">The virtual hosts of the services.</param>
    /// <param name="registryOnly">True when hosts outside of the mesh are refused.</param>
    /// <param name="previous">The outcome before.</param>
    public static OutboundRoutes From(ImmutableArray<VirtualHost> parts, bool registryOnly, OutboundRoutes? previous)
    {
        if (previous is not null && previous.IsRegistryOnly == registryOnly && previous.Parts.AsSpan().SequenceEqual(parts.AsSpan(), ByReference)) return previous;
        var notices = new Notices();
        var table = new RouteConfiguration { Name = XdsNames.Outbound };
        var taken = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var part in parts)
        {
            var host = WithoutTaken(part, taken, notices);
            if (host.Domains.Count > 0) table.VirtualHosts.Add(host);
        }

        table.VirtualHosts.Add(registryOnly ? RegistryOnly : AllowAny);
        return new OutboundRoutes(parts, Resource.Of(XdsNames.Outbound, table), notices.ToImmutable()) { IsRegistryOnly = registryOnly };
    }

    private bool IsRegistryOnly { get; init; }

    private static VirtualHost Others(string name, string route, string cluster) => new()
    {
        Name = name,
        Domains = { "*" },
        Routes = { new Route { Name = route, Match = new RouteMatch { Prefix = "/" }, Route_ = RouteActionCompiler.Default(cluster) } },
    };

    private static IEqualityComparer<VirtualHost> ByReference => ReferenceEqualityComparer.Instance;

    // One domain in two virtual hosts makes clients refuse the whole configuration: the first service keeps it.
    private static VirtualHost WithoutTaken(VirtualHost part, Dictionary<string, string> taken, Notices notices)
    {
        List<string>? lost = null;
        foreach (var domain in part.Domains)
        {
            if (taken.TryAdd(domain, part.Name)) continue;
            (lost ??= []).Add(domain);
            notices.Add(new Provenance("VirtualHost", "", part.Name, "compilation"), $"{part.Name} is not reached as {domain}: {taken[domain]} has that name");
        }

        if (lost is null) return part;
        var copy = part.Clone();
        foreach (var domain in lost) copy.Domains.Remove(domain);
        return copy;
    }
}
