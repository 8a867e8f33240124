using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Compilation;

/// <summary>
/// Clusters and endpoints of one port, for each dialect, with and without mutual TLS. Endpoints are compiled at once, clusters when the
/// first node asks. Immutable to its callers; may be used from several threads.
/// </summary>
internal sealed class CompiledPort
{
    private readonly Service service;
    private readonly ServiceSecurity security;
    private Resource? sidecar;
    private Resource? secured;
    private Resource? grpc;
    private GrpcSecuredPort? grpcSecured;

    private CompiledPort(Service service, ResolvedPort port, ServiceSecurity security, CompiledPort? previous)
    {
        (this.service, Port, this.security) = (service, port, security);
        IsWhole = EndpointCompiler.AreInCluster(service, port);
        var sameEndpoints = previous is not null && Sequence.Same(previous.Port.Endpoints, port.Endpoints) && previous.security.SameModes(security)
            && previous.security.SameIdentities(security) && previous.service.Headless == service.Headless;
        var sameCluster = previous is not null && (sameEndpoints || (!previous.IsWhole && !IsWhole));
        if (sameCluster) sidecar = previous!.sidecar;
        if (sameCluster && previous!.security.SameIdentities(security)) secured = previous.secured;
        if (sameEndpoints) grpcSecured = previous!.grpcSecured;
        grpc = previous?.grpc;
        Endpoints = sameEndpoints ? previous!.Endpoints
            : Resource.Of(Name, EndpointCompiler.Compile(Name, EndpointCompiler.Addresses(port.Endpoints), security, service.Headless));
    }

    /// <summary>What it was compiled from.</summary>
    public ResolvedPort Port { get; }

    /// <summary>Endpoints with an IP address.</summary>
    public Resource Endpoints { get; }

    /// <summary>True when the sidecar's cluster holds the endpoints itself.</summary>
    public bool IsWhole { get; }

    /// <summary>Cluster for sidecars and Envoy without an identity.</summary>
    public Resource Sidecar => Once(ref sidecar, () => ClusterCompiler.Sidecar(service, Port, security));

    /// <summary>Cluster for sidecars and Envoy that can prove who they are.</summary>
    public Resource Secured => Once(ref secured, () => ClusterCompiler.Secured(service, Port, security));

    /// <summary>Cluster for gRPC libraries.</summary>
    public Resource Grpc => Once(ref grpc, () => ClusterCompiler.Grpc(service, Port));

    /// <summary>Cluster and endpoints for gRPC libraries that can prove who they are.</summary>
    public GrpcSecuredPort GrpcSecured => grpcSecured ?? Interlocked.CompareExchange(ref grpcSecured, GrpcSecuredPort.Compile(service, this, security), null) ?? grpcSecured!;

    private string Name => XdsNames.Cluster(service.Name, Port.Port);

    /// <summary>Compiles a port; <paramref name="previous"/> is the same port of the same service, with other endpoints perhaps.</summary>
    public static CompiledPort From(Service service, ResolvedPort port, ServiceSecurity security, CompiledPort? previous) => new(service, port, security, previous);

    // Two threads that race make equal resources; the first one stays, so that unchanged ones are the same object.
    private Resource Once(ref Resource? slot, Func<Google.Protobuf.IMessage> compile) =>
        slot ?? Interlocked.CompareExchange(ref slot, Resource.Of(Name, compile()), null) ?? slot!;
}
