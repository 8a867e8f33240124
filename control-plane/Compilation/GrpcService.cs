using System.Collections.Immutable;
using Envoy.Config.Listener.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Google.Protobuf.WellKnownTypes;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Compilation;

/// <summary>Listeners and route configurations of one service for gRPC libraries, which ask for each by name. Immutable.</summary>
/// <param name="Listeners">One for each name a client may dial, <c>web</c>, <c>web.default</c>, <c>web:8080</c> ...</param>
/// <param name="Routes">One for each port.</param>
internal sealed record GrpcService(ImmutableArray<Resource> Listeners, ImmutableArray<Resource> Routes)
{
    /// <summary>Compiles the service for clients of a namespace.</summary>
    public static GrpcService Compile(Service service, string client, bool bare)
    {
        var listeners = ImmutableArray.CreateBuilder<Resource>();
        var routes = ImmutableArray.CreateBuilder<Resource>();
        var first = DefaultPort(service);
        foreach (var port in service.Ports)
        {
            if (port.Protocol == AppProtocol.Tcp) continue;
            var name = XdsNames.Cluster(service.Name, port.Port);
            routes.Add(Resource.Of(name, CompiledService.AnyHost(name, RouteCompiler.Compile(service, port, client, EmitterKind.Grpc))));
            foreach (var host in ServiceHosts.Of(service.Name, bare))
            {
                if (ReferenceEquals(port, first)) listeners.Add(Listener(host, name));
                listeners.Add(Listener($"{host}:{port.Port}", name));
                if (service.AnyPort && port.Port != 80) listeners.Add(Listener($"{host}:80", name));
            }
        }

        return new GrpcService(listeners.ToImmutable(), routes.ToImmutable());
    }

    // Without a port a gRPC client means the gRPC port, not port 80.
    private static ResolvedPort? DefaultPort(Service service) =>
        service.Ports.FirstOrDefault(port => port.Protocol == AppProtocol.Grpc)
        ?? service.Ports.FirstOrDefault(port => port.Protocol == AppProtocol.Http2)
        ?? service.DefaultPort;

    // No idle_timeout, no filter but the router: gRPC libraries take the one for a deadline and refuse other filters.
    private static Resource Listener(string host, string routes) => Resource.Of(host, new Listener
    {
        Name = host,
        ApiListener = new ApiListener
        {
            ApiListener_ = Any.Pack(new HttpConnectionManager
            {
                StatPrefix = host,
                Rds = new Rds { ConfigSource = XdsSource.Ads(), RouteConfigName = routes },
                HttpFilters = { ListenerParts.Router(suppressEnvoyHeaders: false) },
            }),
        },
    });
}
