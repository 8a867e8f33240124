using Envoy.Config.Cluster.V3;
using Envoy.Config.Core.V3;
using Envoy.Config.Endpoint.V3;
using Envoy.Type.V3;
using Google.Protobuf.WellKnownTypes;
using Mesh.Api.Xds;
using Mesh.ControlPlane.Compilation.Policies;
using Mesh.ControlPlane.Model;
using static Envoy.Config.Cluster.V3.Cluster.Types;
using HttpProtocolOptions = Envoy.Extensions.Upstreams.Http.V3.HttpProtocolOptions;

namespace Mesh.ControlPlane.Compilation;

/// <summary>Service ports, application ports and the passthrough -> Cluster. Pure.</summary>
internal static class ClusterCompiler
{
    private static readonly Duration ConnectTimeout = Duration.FromTimeSpan(TimeSpan.FromSeconds(5));
    private static readonly Duration PoolIdleTimeout = Duration.FromTimeSpan(TimeSpan.FromSeconds(60));

    /// <summary>The cluster of a service port for sidecars and Envoy that cannot prove who they are.</summary>
    public static Cluster Sidecar(Service service, ResolvedPort port, ServiceSecurity security)
    {
        var cluster = ForPort(service, port);
        cluster.LbPolicy = LbPolicy.LeastRequest;
        SetHttp(cluster, port.Protocol);
        if (service.External == ExternalResolution.ByClient)
        {
            cluster.Type = DiscoveryType.OriginalDst;
            cluster.LbPolicy = LbPolicy.ClusterProvided;
        }
        else if (EndpointCompiler.AreInCluster(service, port))
        {
            // EDS carries addresses only; host names are resolved by the node. Where they have addresses of both families, IPv4 is what works everywhere.
            var hasNames = EndpointCompiler.HasNames(port.Endpoints);
            cluster.Type = hasNames ? DiscoveryType.StrictDns : DiscoveryType.Static;
            if (hasNames && service.External is not null) cluster.DnsLookupFamily = DnsLookupFamily.V4Preferred;
            cluster.LoadAssignment = EndpointCompiler.Compile(cluster.Name, port.Endpoints, security);
        }
        else
        {
            SetEds(cluster);
        }

        return cluster;
    }

    /// <summary>The same for those that can: endpoints that take mutual TLS are called under it, and must prove one of the identities.</summary>
    public static Cluster Secured(Service service, ResolvedPort port, ServiceSecurity security)
    {
        var cluster = Sidecar(service, port, security);
        if (service.External is null) cluster.TransportSocketMatches.AddRange(TlsCompiler.Upstream(service.Name, port, security.Identities));
        return cluster;
    }

    /// <summary>The cluster of a service port for gRPC libraries: what they do not read is left out, as some refuse what they do not know.</summary>
    public static Cluster Grpc(Service service, ResolvedPort port)
    {
        var cluster = ForPort(service, port);
        cluster.LbPolicy = LbPolicy.RoundRobin;
        SetEds(cluster);
        return cluster;
    }

    /// <summary>The same under mutual TLS, with the certificates of the library's own bootstrap.</summary>
    public static Cluster GrpcSecured(Service service, ResolvedPort port, ServiceSecurity security)
    {
        var cluster = Grpc(service, port);
        cluster.TransportSocket = GrpcTls.Upstream(security.Identities);
        return cluster;
    }

    /// <summary>A cluster nobody serves. A gRPC library waits 15 s for one that is not defined.</summary>
    public static Cluster GrpcInvalidBackend()
    {
        var cluster = new Cluster { Name = XdsNames.InvalidBackend, ConnectTimeout = ConnectTimeout, LbPolicy = LbPolicy.RoundRobin };
        SetEds(cluster);
        return cluster;
    }

    /// <summary>The application behind the node: on loopback, or where the captured connection was sent to.</summary>
    public static Cluster Inbound(NodeDescription node, NodePort port)
    {
        var name = XdsNames.InboundCluster(port.Port);
        var cluster = port.Listen is null ? OriginalDestination(name) : new Cluster
        {
            Name = name,
            Type = DiscoveryType.Static,
            ConnectTimeout = ConnectTimeout,
            LbPolicy = LbPolicy.RoundRobin,
            CircuitBreakers = Unlimited(),
            LoadAssignment = new ClusterLoadAssignment
            {
                ClusterName = name,
                Endpoints =
                {
                    new LocalityLbEndpoints
                    {
                        LbEndpoints = { new LbEndpoint { Endpoint = new Envoy.Config.Endpoint.V3.Endpoint { Address = EndpointCompiler.SocketAddress("127.0.0.1", port.Port) } } },
                    },
                },
            },
        };
        if (node.Service.Length > 0) cluster.Metadata = MeshMetadata.Of(new ServiceName(node.Namespace, node.Service), port.Port, port.Protocol);
        SetHttp(cluster, port.Protocol);
        return cluster;
    }

    /// <summary>Ports of a captured application that nobody named.</summary>
    public static Cluster InboundPassthrough(NodeDescription node)
    {
        var cluster = OriginalDestination(XdsNames.InboundPassthrough);
        if (node.Service.Length > 0) cluster.Metadata = MeshMetadata.Of(new ServiceName(node.Namespace, node.Service), 0, AppProtocol.Unknown);
        SetHttp(cluster, AppProtocol.Unknown);
        return cluster;
    }

    /// <summary>Destinations outside of the mesh.</summary>
    public static Cluster Passthrough()
    {
        var cluster = OriginalDestination(XdsNames.Passthrough);
        SetHttp(cluster, AppProtocol.Unknown);
        return cluster;
    }

    /// <summary>Where nothing is: connections to it fail at once.</summary>
    public static Cluster BlackHole() => new()
    {
        Name = XdsNames.BlackHole,
        Type = DiscoveryType.Static,
        ConnectTimeout = ConnectTimeout,
        LbPolicy = LbPolicy.RoundRobin,
        LoadAssignment = new ClusterLoadAssignment { ClusterName = XdsNames.BlackHole },
    };

    private static Cluster OriginalDestination(string name) => new()
    {
        Name = name,
        Type = DiscoveryType.OriginalDst,
        ConnectTimeout = ConnectTimeout,
        LbPolicy = LbPolicy.ClusterProvided,
        CircuitBreakers = Unlimited(),
    };

    private static Cluster ForPort(Service service, ResolvedPort port) => new()
    {
        Name = XdsNames.Cluster(service.Name, port.Port),
        ConnectTimeout = ConnectTimeout,
        CircuitBreakers = Unlimited(),
        Metadata = MeshMetadata.Of(service, port),
    };

    private static void SetEds(Cluster cluster)
    {
        cluster.Type = DiscoveryType.Eds;
        cluster.EdsClusterConfig = new EdsClusterConfig { EdsConfig = XdsSource.Ads(), ServiceName = cluster.Name };
    }

    private static void SetHttp(Cluster cluster, AppProtocol protocol)
    {
        if (protocol == AppProtocol.Tcp) return;
        var options = new HttpProtocolOptions
        {
            CommonHttpProtocolOptions = new Envoy.Config.Core.V3.HttpProtocolOptions { IdleTimeout = PoolIdleTimeout },
        };
        if (protocol is AppProtocol.Http2 or AppProtocol.Grpc)
            options.ExplicitHttpConfig = new HttpProtocolOptions.Types.ExplicitHttpConfig { Http2ProtocolOptions = new Http2ProtocolOptions() };
        else
        {
            options.UseDownstreamProtocolConfig = new HttpProtocolOptions.Types.UseDownstreamHttpConfig
            {
                HttpProtocolOptions = new Http1ProtocolOptions(),
                Http2ProtocolOptions = new Http2ProtocolOptions(),
            };
        }

        cluster.TypedExtensionProtocolOptions[TypeUrls.HttpProtocolOptionsKey] = Any.Pack(options);
    }

    // Envoy's and gRPC's own limits are 1024 of each: a limit nobody wrote would refuse requests. Retries alone are bounded, by a budget.
    private static CircuitBreakers Unlimited() => new()
    {
        Thresholds =
        {
            new CircuitBreakers.Types.Thresholds
            {
                MaxConnections = uint.MaxValue,
                MaxPendingRequests = uint.MaxValue,
                MaxRequests = uint.MaxValue,
                RetryBudget = new CircuitBreakers.Types.Thresholds.Types.RetryBudget
                {
                    BudgetPercent = new Percent { Value = 20 },
                    MinRetryConcurrency = 3,
                },
            },
        },
    };
}
