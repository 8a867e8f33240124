namespace Mesh.ControlPlane.Sources.Registry.Http;

/// <summary>The parts of Consul's API that exist there and are not served here: answered 501, so that nobody takes them for a typing error.</summary>
internal static class UnservedEndpoints
{
    private const string AnyMethod = "GET,PUT,POST,DELETE,PATCH";

    private static readonly string[] Paths =
    [
        "/v1/acl/", "/v1/config", "/v1/config/", "/v1/connect/", "/v1/coordinate/", "/v1/discovery-chain/", "/v1/event/", "/v1/internal/",
        "/v1/operator/", "/v1/peering", "/v1/peering/", "/v1/peerings", "/v1/query", "/v1/query/", "/v1/snapshot", "/v1/exported-services",
        "/v1/imported-services", "/v1/agent/connect/", "/v1/agent/force-leave/", "/v1/agent/health/service/", "/v1/agent/host",
        "/v1/agent/join/", "/v1/agent/leave", "/v1/agent/maintenance", "/v1/agent/metrics", "/v1/agent/metrics/stream", "/v1/agent/monitor",
        "/v1/agent/reload", "/v1/agent/service/maintenance/", "/v1/agent/token/", "/v1/agent/version", "/v1/catalog/connect/",
        "/v1/catalog/gateway-services/", "/v1/catalog/node-services/", "/v1/health/connect/", "/v1/health/ingress/",
    ];

    public static IEnumerable<Endpoint> All => Paths.Select(path => new Endpoint(path, AnyMethod, _ => throw Refusal.NotServed(path.TrimEnd('/'))));
}
