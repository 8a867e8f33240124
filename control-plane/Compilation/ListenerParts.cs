using Envoy.Config.Core.V3;
using Envoy.Config.Listener.V3;
using Envoy.Config.Route.V3;
using Envoy.Extensions.Filters.Http.Router.V3;
using Envoy.Extensions.Filters.Listener.HttpInspector.V3;
using Envoy.Extensions.Filters.Listener.OriginalDst.V3;
using Envoy.Extensions.Filters.Listener.TlsInspector.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Envoy.Extensions.Filters.Network.TcpProxy.V3;
using Envoy.Type.V3;
using Google.Protobuf.WellKnownTypes;
using Mesh.ControlPlane.Model;
using static Envoy.Extensions.Filters.Network.HttpConnectionManager.V3.HttpConnectionManager.Types;

namespace Mesh.ControlPlane.Compilation;

/// <summary>The pieces listeners are made of: HTTP connection managers, TCP proxies, detection between them. Pure.</summary>
internal static class ListenerParts
{
    private static readonly Duration TcpIdleTimeout = Duration.FromTimeSpan(TimeSpan.FromHours(1));

    // Envoy keeps the client of a server that speaks first (MySQL, SMTP) waiting this long on a port of unknown protocol. Our sidecar asks the server meanwhile.
    /// <summary>How long a connection may say nothing before it is taken for one that waits for the server.</summary>
    public static readonly Duration DetectionTimeout = Duration.FromTimeSpan(TimeSpan.FromSeconds(5));

    /// <summary>What the HTTP inspector says of connections that speak HTTP.</summary>
    public static ReadOnlySpan<string> DetectedHttp => new[] { "http/1.0", "http/1.1", "h2c" };

    /// <summary>A listener whose chains follow from what is spoken on its port.</summary>
    public static Listener Listener(string name, HostPort address, TrafficDirection direction, AppProtocol protocol, HttpConnectionManager http, string tcpCluster)
    {
        var listener = Empty(name, address, direction);
        if (protocol == AppProtocol.Tcp) listener.FilterChains.Add(Tcp("tcp", http.StatPrefix, tcpCluster));
        else if (protocol != AppProtocol.Unknown) listener.FilterChains.Add(Http("http", http));
        else
        {
            listener.FilterChains.Add(Http("http", http, Match("", DetectedHttp)));
            listener.DefaultFilterChain = Tcp("tcp", http.StatPrefix, tcpCluster);
            Inspect(listener, DetectionTimeout, HttpInspector());
        }

        return listener;
    }

    /// <summary>A listener without chains.</summary>
    public static Listener Empty(string name, HostPort address, TrafficDirection direction) => new()
    {
        Name = name,
        Address = EndpointCompiler.SocketAddress(address.Address, address.Port),
        TrafficDirection = direction,
    };

    /// <summary>Adds listener filters; a connection that says nothing within <paramref name="patience"/> is served by what they know so far.</summary>
    public static void Inspect(Listener listener, Duration patience, params ReadOnlySpan<ListenerFilter> filters)
    {
        foreach (var filter in filters) listener.ListenerFilters.Add(filter);
        listener.ListenerFiltersTimeout = patience;
        listener.ContinueOnListenerFiltersTimeout = true;
    }

    /// <summary>Finds out whether a connection speaks HTTP.</summary>
    public static ListenerFilter HttpInspector() => new() { Name = "envoy.filters.listener.http_inspector", TypedConfig = Any.Pack(new HttpInspector()) };

    /// <summary>Finds out whether a connection speaks TLS, and what its client says of it.</summary>
    public static ListenerFilter TlsInspector() => new() { Name = "envoy.filters.listener.tls_inspector", TypedConfig = Any.Pack(new TlsInspector()) };

    /// <summary>Asks the kernel where a redirected connection was meant to go: chains match that.</summary>
    public static ListenerFilter OriginalDestination() => new() { Name = "envoy.filters.listener.original_dst", TypedConfig = Any.Pack(new OriginalDst()) };

    /// <summary>True for connections that were sent to one of these ports; at least one.</summary>
    public static ListenerFilterChainMatchPredicate AnyPortOf(IReadOnlyCollection<int> ports)
    {
        var each = ports.Select(port => new ListenerFilterChainMatchPredicate { DestinationPortRange = new Int32Range { Start = port, End = port + 1 } }).ToArray();
        return each.Length == 1 ? each[0] : new ListenerFilterChainMatchPredicate { OrMatch = new ListenerFilterChainMatchPredicate.Types.MatchSet { Rules = { each } } };
    }

    /// <summary>Which connections a chain is for.</summary>
    public static FilterChainMatch Match(string transport, params ReadOnlySpan<string> applications)
    {
        var match = new FilterChainMatch { TransportProtocol = transport };
        foreach (var application in applications) match.ApplicationProtocols.Add(application);
        return match;
    }

    /// <summary>A chain that speaks HTTP.</summary>
    public static FilterChain Http(string name, HttpConnectionManager manager, FilterChainMatch? match = null) => new()
    {
        Name = name,
        FilterChainMatch = match,
        Filters = { new Filter { Name = "envoy.filters.network.http_connection_manager", TypedConfig = Any.Pack(manager) } },
    };

    /// <summary>A chain that passes bytes.</summary>
    public static FilterChain Tcp(string name, string statPrefix, string cluster, FilterChainMatch? match = null) => new()
    {
        Name = name,
        FilterChainMatch = match,
        Filters =
        {
            new Filter
            {
                Name = "envoy.filters.network.tcp_proxy",
                TypedConfig = Any.Pack(new TcpProxy { StatPrefix = statPrefix, Cluster = cluster, IdleTimeout = TcpIdleTimeout }),
            },
        },
    };

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
}
