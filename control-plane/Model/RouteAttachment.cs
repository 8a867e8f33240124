using System.Collections.Immutable;
using System.Runtime.InteropServices;

namespace Mesh.ControlPlane.Model;

/// <summary>Checks the references of routes against the services there are, and hangs each route on its parents. Pure but for the services given.</summary>
internal static class RouteAttachment
{
    /// <summary>Attaches all routes, oldest first, then by namespace and name.</summary>
    public static void Attach(Dictionary<ServiceName, Service> services, List<RuleSet> documents, Notices notices)
    {
        var attached = new Dictionary<ServiceName, List<HttpRoute>>();
        var seen = new Dictionary<ServiceName, HttpRoute>();
        foreach (var route in documents.SelectMany(set => set.HttpRoutes))
        {
            if (!seen.TryAdd(route.Name, route))
                notices.Add(route.Source, $"HTTPRoute {route.Name} is ignored: {seen[route.Name].Source.Location} defines it already");
        }

        foreach (var route in seen.Values)
        {
            var resolved = ResolveBackends(route, services, notices);
            foreach (var parent in route.Parents.Select(parent => parent.Service).Distinct())
            {
                if (!services.TryGetValue(parent, out var service))
                {
                    notices.Add(route.Source, $"HTTPRoute {route.Name} has no effect on {parent}: there is no such service");
                    continue;
                }

                CheckPorts(route, service, notices);
                ref var list = ref CollectionsMarshal.GetValueRefOrAddDefault(attached, parent, out _);
                (list ??= []).Add(resolved);
            }
        }

        foreach (var (name, routes) in attached)
        {
            services[name] = services[name] with
            {
                Routes = [.. routes.OrderBy(route => route.Created ?? DateTimeOffset.MaxValue).ThenBy(route => route.Name)],
            };
        }
    }

    private static void CheckPorts(HttpRoute route, Service service, Notices notices)
    {
        foreach (var parent in route.Parents)
        {
            if (parent.Service != service.Name || parent.Port is not { } number) continue;
            var port = service.PortFor(number);
            if (port is null) notices.Add(route.Source, $"HTTPRoute {route.Name} has no effect on port {number} of {service.Name}: {Offer(service)}");
            else if (port.Protocol == AppProtocol.Tcp)
                notices.Add(route.Source, $"HTTPRoute {route.Name} has no effect on port {number} of {service.Name}: the port is declared as tcp");
        }
    }

    private static HttpRoute ResolveBackends(HttpRoute route, Dictionary<ServiceName, Service> services, Notices notices)
    {
        var rules = ImmutableArray.CreateBuilder<HttpRouteRule>(route.Rules.Length);
        foreach (var rule in route.Rules)
        {
            var backends = ImmutableArray.CreateRange(rule.Backends, backend => Resolve(route, backend, services));
            foreach (var backend in backends)
            {
                if (backend.Invalid is not null) notices.Add(rule.Source, $"backend {backend.Service} is answered with 500: {backend.Invalid}");
            }

            rules.Add(rule with { Backends = backends });
        }

        return route with { Rules = rules.MoveToImmutable() };
    }

    private static BackendRef Resolve(HttpRoute route, BackendRef backend, Dictionary<ServiceName, Service> services)
    {
        if (backend.Invalid is not null) return backend;
        // Hosts outside of the mesh are everybody's.
        if (!backend.Service.IsHost && backend.Service.Namespace != route.Name.Namespace && !route.Parents.Any(parent => parent.Service.Namespace == backend.Service.Namespace))
            return backend with { Invalid = $"a reference from namespace {route.Name.Namespace} to {backend.Service.Namespace} needs a ReferenceGrant, which is not supported yet" };
        if (!services.TryGetValue(backend.Service, out var service)) return backend with { Invalid = backend.Service.IsHost ? "no ServiceEntry has this host" : "there is no such service" };
        if (backend.Port is not { } number) return backend with { Invalid = "it names no port" };
        return service.PortFor(number) is { } port ? backend with { Port = port.Port } : backend with { Invalid = $"it has no port {number}: {Offer(service)}" };
    }

    private static string Offer(Service service) =>
        service.Ports.Length == 0 ? "the service has no port" : "the service has " + string.Join(", ", service.Ports.Select(port => port.Port));
}
