using System.Collections.Immutable;
using System.Globalization;
using Envoy.Config.Route.V3;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Compilation;

/// <summary>A service port and the routes attached to it -> xDS routes, in the order in which they are to be tried. Pure.</summary>
internal static class RouteCompiler
{
    /// <summary>The routes that hold for clients of a namespace: its own (consumer) routes, else those of the service's namespace (producer).</summary>
    public static ImmutableArray<HttpRoute> Applicable(Service service, ResolvedPort port, string client)
    {
        if (service.Routes.Length == 0 || port.Protocol == AppProtocol.Tcp) return [];
        var attached = service.Routes.Where(route => Holds(route, service, port)).ToLookup(route => route.Name.Namespace);
        return attached.Contains(client) ? [.. attached[client]] : [.. attached[service.Name.Namespace]];
    }

    /// <summary>
    /// What a port speaks for clients of a namespace: what was declared. A port of undeclared protocol with a route is HTTP or nothing: bytes that pass
    /// beside a rule about requests would be the way around it.
    /// </summary>
    public static AppProtocol Spoken(Service service, ResolvedPort port, string client) =>
        port.Protocol == AppProtocol.Unknown && Applicable(service, port, client).Length > 0 ? AppProtocol.Http : port.Protocol;

    /// <summary>The routes of a port; without attached ones straight to its endpoints.</summary>
    public static List<Route> Compile(Service service, ResolvedPort port, string client, EmitterKind dialect)
    {
        var routes = Applicable(service, port, client);
        if (routes.Length == 0) return [Direct(service, port, dialect)];
        var compiled = new List<Route>();
        foreach (var candidate in RoutePrecedence.Sort(routes))
        {
            if (dialect == EmitterKind.Grpc)
                compiled.AddRange(MatchCompiler.Grpc(candidate.MatchValue).Select(match => Forward(candidate, match, RouteActionCompiler.Grpc(candidate.RuleValue))));
            else
                compiled.Add(Forward(candidate, MatchCompiler.Sidecar(candidate.MatchValue), RouteActionCompiler.Sidecar(candidate.RuleValue)));
        }

        return compiled;
    }

    /// <summary>The route of an inbound listener: everything goes to the application.</summary>
    public static Route Inbound(string cluster) => new()
    {
        Name = "default",
        Match = new RouteMatch { Prefix = "/" },
        Route_ = RouteActionCompiler.Default(cluster),
    };

    /// <summary>The route to a service that is not there (yet): its cluster is not defined, which is what the answer says.</summary>
    public static Route Missing(string cluster) => new()
    {
        Name = "missing",
        Match = new RouteMatch { Prefix = "/" },
        Route_ = new RouteAction { Cluster = cluster, Timeout = new Google.Protobuf.WellKnownTypes.Duration() },
    };

    private static bool Holds(HttpRoute route, Service service, ResolvedPort port) => route.Parents.Any(parent =>
        parent.Service == service.Name && (parent.Port is not { } number || ReferenceEquals(service.PortFor(number), port)));

    private static Route Direct(Service service, ResolvedPort port, EmitterKind dialect)
    {
        var cluster = XdsNames.Cluster(service.Name, port.Port);
        return new Route
        {
            Name = "default",
            Match = new RouteMatch { Prefix = dialect == EmitterKind.Grpc ? "" : "/" },
            Route_ = dialect == EmitterKind.Grpc ? new RouteAction { Cluster = cluster } : RouteActionCompiler.Default(cluster),
            Metadata = MeshMetadata.Of(service.Source),
        };
    }

    private static Route Forward(RouteCandidate candidate, RouteMatch match, RouteAction action) => new()
    {
        Name = RouteName(candidate),
        Match = match,
        Route_ = action,
        Metadata = MeshMetadata.Of(candidate.RuleValue.Source),
    };

    private static string RouteName(RouteCandidate candidate)
    {
        var rule = candidate.RuleValue.Name.Length > 0 ? candidate.RuleValue.Name : candidate.Rule.ToString(CultureInfo.InvariantCulture);
        return string.Create(CultureInfo.InvariantCulture, $"{candidate.Route.Name}/{rule}/{candidate.Match}");
    }
}
