using Mesh.Api.Grpc;
using Mesh.Api.V1;

namespace Mesh.Api.Destinations;

/// <summary>The method of <c>mesh.v1.DestinationService</c>, for both ends. Stateless.</summary>
public static class DestinationMethods
{
    /// <summary>What stands behind an address and port.</summary>
    public static GrpcMethod<DestinationQuery, DestinationAnswer> Lookup { get; } =
        new("mesh.v1.DestinationService", "Lookup", DestinationQuery.Parser, DestinationAnswer.Parser);
}
