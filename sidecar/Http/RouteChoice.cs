using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Http;

/// <summary>Finds the route of a request: host -> virtual host -> first route that matches. Pure; says in words why there is none.</summary>
internal static class RouteChoice
{
    /// <summary>The route, or null with the reason in <paramref name="missing"/>.</summary>
    public static Route? Find(Exchange x, RouteTable table, out string missing)
    {
        missing = "";
        if (RouteMatching.FindHost(table, x.Facts.Authority) is not { } host)
        {
            missing = $"no service answers to the host '{x.Facts.Authority}'";
            return null;
        }

        var input = new RouteInput
        {
            Authority = x.Facts.Authority,
            Target = x.Target,
            Method = x.Facts.Method,
            Scheme = "http",
            Grpc = x.Facts.Grpc,
            Headers = x.RequestHeaders,
        };
        var route = RouteMatching.FindRoute(host, input);
        if (route is null) missing = $"no route of {host.Name} matches {x.Facts.Method} {x.Target}";
        return route;
    }
}
