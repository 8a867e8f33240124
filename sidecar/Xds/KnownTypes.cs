using Envoy.Config.Cluster.V3;
using Envoy.Config.Endpoint.V3;
using Envoy.Config.Listener.V3;
using Envoy.Config.Route.V3;
using Envoy.Extensions.Filters.Http.Router.V3;
using Envoy.Extensions.Filters.Listener.HttpInspector.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Envoy.Extensions.Filters.Network.TcpProxy.V3;
using Envoy.Extensions.LoadBalancingPolicies.LeastRequest.V3;
using Envoy.Extensions.LoadBalancingPolicies.RoundRobin.V3;
using Envoy.Extensions.TransportSockets.Tls.V3;
using Google.Protobuf.Reflection;

namespace Mesh.Sidecar.Xds;

/// <summary>
/// The message types a sidecar reads and shows as JSON, those inside an Any included. Made when first needed: with a control plane that is
/// the first /config_dump.
/// </summary>
internal static class KnownTypes
{
    /// <summary>All of them.</summary>
    public static TypeRegistry Registry { get; } = TypeRegistry.FromMessages(
        Listener.Descriptor,
        RouteConfiguration.Descriptor,
        Cluster.Descriptor,
        ClusterLoadAssignment.Descriptor,
        HttpConnectionManager.Descriptor,
        Router.Descriptor,
        TcpProxy.Descriptor,
        HttpInspector.Descriptor,
        Envoy.Extensions.Upstreams.Http.V3.HttpProtocolOptions.Descriptor,
        RoundRobin.Descriptor,
        LeastRequest.Descriptor,

        // Not supported: known so that they are refused by name.
        UpstreamTlsContext.Descriptor,
        DownstreamTlsContext.Descriptor,
        Envoy.Extensions.Filters.Http.Rbac.V3.RBAC.Descriptor,
        Envoy.Extensions.Filters.Network.Rbac.V3.RBAC.Descriptor,
        Envoy.Extensions.Filters.Listener.TlsInspector.V3.TlsInspector.Descriptor,
        Envoy.Extensions.Filters.Listener.OriginalDst.V3.OriginalDst.Descriptor);
}
