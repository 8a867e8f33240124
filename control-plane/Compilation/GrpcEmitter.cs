using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Compilation;

/// <summary>Configuration for gRPC libraries without a proxy: everything exists by name, they ask for what they dial. Pure.</summary>
internal static class GrpcEmitter
{
    private static readonly Resource InvalidCluster = Resource.Of(XdsNames.InvalidBackend, ClusterCompiler.GrpcInvalidBackend());
    private static readonly Resource InvalidEndpoints = Resource.Of(XdsNames.InvalidBackend, EndpointCompiler.Compile(XdsNames.InvalidBackend, []));

    /// <summary>Compiles for clients of a namespace, with certificates or without.</summary>
    public static NodeConfig Compile(CompiledWorld world, string client, bool secured, NodeConfig? previous)
    {
        var services = world.Services.Select(service => service.Grpc(client, world.Bare(service, client))).ToArray();
        var ports = world.Services.SelectMany(service => service.Ports).ToArray();
        return new NodeConfig
        {
            Clusters = ResourceSet.From(ports.Select(port => secured ? port.GrpcSecured.Cluster : port.Grpc).Append(InvalidCluster), previous?.Clusters),
            Endpoints = ResourceSet.From(ports.Select(port => secured ? port.GrpcSecured.Endpoints : port.Endpoints).Append(InvalidEndpoints), previous?.Endpoints),
            Listeners = ResourceSet.From(services.SelectMany(service => service.Listeners), previous?.Listeners),
            Routes = ResourceSet.From(services.SelectMany(service => service.Routes), previous?.Routes),
            Notices = [.. world.Services.SelectMany(Unreachable)],
        };
    }

    /// <summary>Adds what a gRPC server asks for: a listener for each address the node says it serves on.</summary>
    public static NodeConfig WithServers(CompiledWorld world, NodeDescription node, NodeConfig config)
    {
        if (node.Ports.IsEmpty) return config;
        var inbound = world.Policies.Inbound(node);
        return config with
        {
            Listeners = ResourceSet.Merge(config.Listeners, ResourceSet.From(inbound.Listeners), null),
            Notices = [.. config.Notices, .. inbound.Notices],
        };
    }

    private static IEnumerable<Notice> Unreachable(CompiledService service) =>
        from port in service.Ports
        where EndpointCompiler.HasNames(port.Port.Endpoints)
        select new Notice(service.Service.Source,
            $"gRPC clients without a sidecar do not reach the endpoints of {service.Service.Name} port {port.Port.Port} that are registered by host name: register IP addresses");
}
