using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Compilation;

/// <summary>Clusters and endpoints of one port, for both dialects. Immutable.</summary>
/// <param name="Port">What it was compiled from.</param>
/// <param name="Sidecar">Cluster for sidecars and Envoy.</param>
/// <param name="Grpc">Cluster for gRPC libraries.</param>
/// <param name="Endpoints">Endpoints with an IP address.</param>
/// <param name="HasNames">True when some endpoint is a host name: the sidecar's cluster holds the endpoints itself then.</param>
internal sealed record CompiledPort(ResolvedPort Port, Resource Sidecar, Resource Grpc, Resource Endpoints, bool HasNames)
{
    /// <summary>Compiles a port; <paramref name="previous"/> is the same port of the same service, with other endpoints perhaps.</summary>
    public static CompiledPort From(Service service, ResolvedPort port, CompiledPort? previous)
    {
        var name = XdsNames.Cluster(service.Name, port.Port);
        var hasNames = EndpointCompiler.HasNames(port.Endpoints);
        var sameEndpoints = previous is not null && Sequence.Same(previous.Port.Endpoints, port.Endpoints);
        var sameCluster = previous is not null && (sameEndpoints || (!previous.HasNames && !hasNames));
        return new CompiledPort(
            port,
            sameCluster ? previous!.Sidecar : Resource.Of(name, ClusterCompiler.Sidecar(service, port)),
            previous?.Grpc ?? Resource.Of(name, ClusterCompiler.Grpc(service, port)),
            sameEndpoints ? previous!.Endpoints : Resource.Of(name, EndpointCompiler.Compile(name, EndpointCompiler.Addresses(port.Endpoints))),
            hasNames);
    }
}
