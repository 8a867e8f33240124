using Envoy.Service.Discovery.V3;
using Mesh.Api.Grpc;

namespace Mesh.Sidecar.Xds;

/// <summary>The method of the aggregated discovery service this sidecar calls.</summary>
internal static class AdsMethods
{
    /// <summary>State of the world.</summary>
    public static GrpcMethod<DiscoveryRequest, DiscoveryResponse> Stream { get; } = new(
        "envoy.service.discovery.v3.AggregatedDiscoveryService", "StreamAggregatedResources", DiscoveryRequest.Parser, DiscoveryResponse.Parser);
}
