using Envoy.Config.Core.V3;
using Envoy.Config.Listener.V3;
using Envoy.Config.Route.V3;
using Envoy.Extensions.Filters.Http.Router.V3;
using Envoy.Extensions.Filters.Listener.HttpInspector.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Envoy.Extensions.Filters.Network.TcpProxy.V3;
using Google.Protobuf.WellKnownTypes;
using Mesh.ControlPlane.Model;
using static Envoy.Extensions.Filters.Network.HttpConnectionManager.V3.HttpConnectionManager.Types;

namespace Mesh.ControlPlane.Compilation;

/// <summary>The pieces listeners are made of: HTTP connection managers, TCP proxies, detection between them. Pure.</summary>
internal static class ListenerParts
{
    private static readonly Duration TcpIdleTimeout = Duration.FromTimeSpan(TimeSpan.FromHours(1));

    // A server that speaks first (MySQL, SMTP) on a port of unknown protocol keeps its client waiting this long; declare such a port as tcp.
    private static readonly Duration DetectionTimeout = Duration.FromTimeSpan(TimeSpan.FromSeconds(5));

    /// <summary>A listener whose chains follow from what is spoken on its port.</summary>
    public static Listener Listener(string name, HostPort address, TrafficDirection direction, AppProtocol protocol, HttpConnectionManager http, string tcpCluster)
    {
        var listener = new Listener
        {
            Name = name,
            Address = EndpointCompiler.SocketAddress(address.Address, address.Port),
            TrafficDirection = direction,
        };
        if (protocol == AppProtocol.Tcp) listener.FilterChains.Add(Tcp(http.StatPrefix, tcpCluster));
        else if (protocol != AppProtocol.Unknown) listener.FilterChains.Add(Http(http));
        else
        {
            var detected = Http(http);
            detected.FilterChainMatch = new FilterChainMatch { ApplicationProtocols = { "http/1.0", "http/1.1", "h2c" } };
            listener.FilterChains.Add(detected);
            listener.DefaultFilterChain = Tcp(http.StatPrefix, tcpCluster);
            listener.ListenerFilters.Add(new ListenerFilter
            {
                Name = "envoy.filters.listener.http_inspector",
                TypedConfig = Any.Pack(new HttpInspector()),
            });
            listener.ListenerFiltersTimeout = DetectionTimeout;
            listener.ContinueOnListenerFiltersTimeout = true;
        }

        return listener;
    }

    /// <summary>A connection manager that changes nothing it need not change, with routes from RDS.</summary>
    public static HttpConnectionManager Http(string statPrefix, string routes, string hostOfHttp10)
    {
        var manager = Http(statPrefix, hostOfHttp10);
        manager.Rds = new Rds { ConfigSource = XdsSource.Ads(), RouteConfigName = routes };
        return manager;
    }

    /// <summary>A connection manager with its routes inside.</summary>
    public static HttpConnectionManager Http(string statPrefix, RouteConfiguration routes, string hostOfHttp10)
    {
        var manager = Http(statPrefix, hostOfHttp10);
        manager.RouteConfig = routes;
        return manager;
    }

    /// <summary>The router, last of all HTTP filters.</summary>
    public static HttpFilter Router(bool suppressEnvoyHeaders) => new()
    {
        Name = "envoy.filters.http.router",
        TypedConfig = Any.Pack(new Router { SuppressEnvoyHeaders = suppressEnvoyHeaders }),
    };

    private static HttpConnectionManager Http(string statPrefix, string hostOfHttp10) => new()
    {
        StatPrefix = statPrefix,
        CodecType = CodecType.Auto,
        HttpFilters = { Router(suppressEnvoyHeaders: true) },
        HttpProtocolOptions = new Http1ProtocolOptions { AcceptHttp10 = true, DefaultHostForHttp10 = hostOfHttp10 },
        UseRemoteAddress = false,
        GenerateRequestId = true,
        NormalizePath = false,
        PathWithEscapedSlashesAction = PathWithEscapedSlashesAction.KeepUnchanged,
        ServerHeaderTransformation = ServerHeaderTransformation.PassThrough,
        StreamIdleTimeout = new Duration(),
        UpgradeConfigs = { new UpgradeConfig { UpgradeType = "websocket" } },
    };

    private static FilterChain Http(HttpConnectionManager manager) => new()
    {
        Name = "http",
        Filters = { new Filter { Name = "envoy.filters.network.http_connection_manager", TypedConfig = Any.Pack(manager) } },
    };

    private static FilterChain Tcp(string statPrefix, string cluster) => new()
    {
        Name = "tcp",
        Filters =
        {
            new Filter
            {
                Name = "envoy.filters.network.tcp_proxy",
                TypedConfig = Any.Pack(new TcpProxy { StatPrefix = statPrefix, Cluster = cluster, IdleTimeout = TcpIdleTimeout }),
            },
        },
    };
}
