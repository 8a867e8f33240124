using Envoy.Service.Discovery.V3;
using Mesh.Api.Grpc;

namespace Mesh.Api.Identity;

/// <summary>The method by which Envoy and its like take certificates from a local agent (SDS), for both ends, and the names of its secrets. Stateless.</summary>
public static class SecretMethods
{
    /// <summary>The secret that is the workload's own certificate with its key.</summary>
    public const string OwnCertificate = "default";

    /// <summary>The secret that is the roots.</summary>
    public const string Roots = "ROOTCA";

    /// <summary>Bidirectional, state of the world: which secrets are wanted and how they were liked in, the secrets out.</summary>
    public static GrpcMethod<DiscoveryRequest, DiscoveryResponse> StreamSecrets { get; } =
        new("envoy.service.secret.v3.SecretDiscoveryService", "StreamSecrets", DiscoveryRequest.Parser, DiscoveryResponse.Parser);
}
