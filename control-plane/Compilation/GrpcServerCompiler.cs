using Envoy.Config.Core.V3;
using Envoy.Config.Listener.V3;
using Envoy.Config.Route.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Google.Protobuf.WellKnownTypes;
using Mesh.ControlPlane.Compilation.Policies;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Model.Policies;

namespace Mesh.ControlPlane.Compilation;

/// <summary>
/// The listener a gRPC server without a proxy asks for: one chain, with the port's authorization before its methods (gRFC A36, A41).
/// A gRPC server takes TLS or plaintext, not both: it is TLS where the mode is STRICT. Pure but for the notices it adds.
/// </summary>
internal static class GrpcServerCompiler
{
    /// <summary>Compiles the listener of an address.</summary>
    public static Listener Compile(NodeDescription node, NodePort port, PortPolicies policies, TlsMode mode, Notices notices)
    {
        var listener = ListenerParts.Empty(XdsNames.GrpcServerListener(port.Listen!), port.Listen!, TrafficDirection.Inbound);
        var chain = ListenerParts.Http("grpc", Manager(port, policies, mode, node));
        if (mode == TlsMode.Strict && node.HasCertificates) chain.TransportSocket = GrpcTls.Downstream();
        else if (mode == TlsMode.Strict)
        {
            notices.Add(new Provenance("Node", node.Namespace, node.Id, $"port {port.Port}"),
                $"port {port.Port} of the gRPC server {node.Id} lets nothing through: mutual TLS is STRICT there, and its node metadata names no certificates (mesh.certificates: \"{GrpcTls.Provider}\")");
        }

        listener.DefaultFilterChain = chain;
        return listener;
    }

    private static HttpConnectionManager Manager(NodePort port, PortPolicies policies, TlsMode mode, NodeDescription node)
    {
        var name = XdsNames.InboundCluster(port.Port);
        var manager = new HttpConnectionManager
        {
            StatPrefix = $"inbound_{port.Port}",
            RouteConfig = new RouteConfiguration
            {
                Name = name,
                VirtualHosts =
                {
                    new VirtualHost
                    {
                        Name = name,
                        Domains = { "*" },
                        Routes = { new Route { Match = new RouteMatch { Prefix = "" }, NonForwardingAction = new NonForwardingAction() } },
                    },
                },
            },
        };
        if (mode == TlsMode.Strict && !node.HasCertificates) manager.HttpFilters.Add(Nobody());
        manager.HttpFilters.AddRange(policies.Http);
        manager.HttpFilters.Add(ListenerParts.Router(suppressEnvoyHeaders: false));
        return manager;
    }

    private static HttpFilter Nobody() => new()
    {
        Name = "envoy.filters.http.rbac.no-identity",
        TypedConfig = Any.Pack(new Envoy.Extensions.Filters.Http.Rbac.V3.RBAC { Rules = new Envoy.Config.Rbac.V3.RBAC { Action = Envoy.Config.Rbac.V3.RBAC.Types.Action.Allow } }),
    };
}
