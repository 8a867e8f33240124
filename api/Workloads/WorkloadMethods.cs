using Mesh.Api.Grpc;
using Mesh.Api.V1;

namespace Mesh.Api.Workloads;

/// <summary>The methods of <c>mesh.v1.WorkloadService</c>, for both ends.</summary>
public static class WorkloadMethods
{
    /// <summary>Bidirectional: updates of one workload in, an answer to each out.</summary>
    public static GrpcMethod<WorkloadUpdate, WorkloadAck> Register { get; } =
        new("mesh.v1.WorkloadService", "Register", WorkloadUpdate.Parser, WorkloadAck.Parser);

    /// <summary>Unary: a proof that the caller, who proved an identity, has the address that its connection comes from.</summary>
    public static GrpcMethod<AddressQuery, AddressProof> ProveAddress { get; } =
        new("mesh.v1.WorkloadService", "ProveAddress", AddressQuery.Parser, AddressProof.Parser);
}
