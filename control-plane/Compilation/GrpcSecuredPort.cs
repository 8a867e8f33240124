using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Compilation;

/// <summary>
/// A port for gRPC libraries with certificates. A cluster of theirs is under TLS or not, as a whole: as soon as one endpoint takes mutual
/// TLS, or the service requires it, the others are left out. So nobody can talk a client out of TLS by registering an endpoint without. Immutable.
/// </summary>
/// <param name="Cluster">The cluster.</param>
/// <param name="Endpoints">Its endpoints.</param>
internal sealed record GrpcSecuredPort(Resource Cluster, Resource Endpoints)
{
    /// <summary>Compiles a port.</summary>
    public static GrpcSecuredPort Compile(Service service, CompiledPort port, ServiceSecurity security)
    {
        var name = XdsNames.Cluster(service.Name, port.Port.Port);
        var takers = port.Port.Endpoints.Where(endpoint => endpoint.TakesTls(security.Policies)).ToArray();
        if (takers.Length == 0 && !security.Required) return new GrpcSecuredPort(port.Grpc, port.Endpoints);
        return new GrpcSecuredPort(
            Resource.Of(name, ClusterCompiler.GrpcSecured(service, port.Port, security)),
            Resource.Of(name, EndpointCompiler.Compile(name, EndpointCompiler.Addresses([.. takers]), security)));
    }
}
