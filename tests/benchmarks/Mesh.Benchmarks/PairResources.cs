namespace Mesh.Benchmarks;

/// <summary>An end of a pair as xDS resources: the same for our sidecar (<c>--static</c>) and for Envoy, but for what only Envoy has to be told.</summary>
internal static class PairResources
{
    // Envoy's default circuit breakers (1024) would speak up under load; ours has none yet.
    private const string NoLimits =
        """ "circuit_breakers": { "thresholds": [ { "max_connections": 100000, "max_pending_requests": 100000, "max_requests": 100000 } ] }, """;

    private const string OriginalDestination = """
        "listener_filters": [ { "name": "od", "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst" } } ],
        """;

    /// <summary>The resources; <paramref name="filters"/> gives the HTTP filters of a leg before the router, each with a comma behind it.</summary>
    public static string Write(string end, IReadOnlyList<Leg> legs, PairCertificates? certificates, bool forEnvoy, Func<Leg, string>? filters = null) => $$"""
        { "static_resources": {
          "listeners": [ {{string.Join(",\n    ", legs.Select(l => Listener(l, end, certificates!, forEnvoy, filters?.Invoke(l) ?? "")))}} ],
          "clusters": [ {{string.Join(",\n    ", legs.Select(l => Cluster(l, end, certificates!, forEnvoy)))}} ] } }
        """;

    private static string Listener(Leg leg, string end, PairCertificates certificates, bool forEnvoy, string filters) => $$"""
        { "name": "{{leg.Name}}", "traffic_direction": "{{(end == "server" ? "INBOUND" : "OUTBOUND")}}",
            "address": { "socket_address": { "address": "{{leg.ListenAddress}}", "port_value": {{leg.Listen}} } },
            {{(leg.Detects ? Detection(leg) : "")}}{{(leg.Captured is null ? "" : OriginalDestination)}}
            "filter_chains": [ { {{Match(leg)}} {{(leg.TlsIn ? Downstream(leg, end, certificates, forEnvoy) : "")}}"filters": [ {{(leg.IsHttp ? Http(leg, filters) : Tcp(leg))}} ] } ] }
        """;

    private static string Match(Leg leg)
    {
        if (leg.Detects) return """ "filter_chain_match": { "application_protocols": [ "http/1.0", "http/1.1", "h2c" ] }, """;
        if (leg.Captured is not { } meant) return "";
        return $$""" "filter_chain_match": { "prefix_ranges": [ { "address_prefix": "{{meant.Address}}", "prefix_len": 32 } ], "destination_port": {{meant.Port}} }, """;
    }

    private static string Detection(Leg leg) => $$"""
        "listener_filters": [ { "name": "http", "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.listener.http_inspector.v3.HttpInspector" } } ],
            "listener_filters_timeout": "5s", "continue_on_listener_filters_timeout": true,
            "default_filter_chain": { "filters": [ {{Tcp(leg)}} ] },
        """;

    private static string Http(Leg leg, string filters) => $$"""
        { "name": "hcm", "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
              "stat_prefix": "{{leg.Name}}",
              "http_filters": [ {{filters}} { "name": "router", "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" } } ],
              "route_config": { "name": "{{leg.Name}}", "virtual_hosts": [ { "name": "all", "domains": ["*"],
                "routes": [ { "match": { "prefix": "/" }, "route": { "cluster": "{{leg.Name}}", "timeout": "0s" } } ] } ] } } }
        """;

    private static string Tcp(Leg leg) => $$"""
        { "name": "tcp", "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
              "stat_prefix": "{{leg.Name}}", "cluster": "{{leg.Name}}" } }
        """;

    private static string Cluster(Leg leg, string end, PairCertificates certificates, bool forEnvoy) => leg.ToOriginal
        ? $$"""{ "name": "{{leg.Name}}", "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED", "connect_timeout": "5s" }"""
        : $$"""
        { "name": "{{leg.Name}}", "type": "STATIC", "connect_timeout": "5s",{{(forEnvoy ? NoLimits : "")}}{{(leg.TlsOut ? Upstream(leg, end, certificates, forEnvoy) : "")}}
            "load_assignment": { "cluster_name": "{{leg.Name}}", "endpoints": [ { "lb_endpoints": [
              { "endpoint": { "address": { "socket_address": { "address": "{{leg.TargetAddress}}", "port_value": {{leg.Target}} } } } } ] } ] } }
        """;

    private static string Downstream(Leg leg, string end, PairCertificates certificates, bool forEnvoy) => $$"""
        "transport_socket": { "name": "envoy.transport_sockets.tls", "typed_config": {
              "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
              {{(forEnvoy ? "\"disable_stateless_session_resumption\": true, \"disable_stateful_session_resumption\": true," : "")}}
              "require_client_certificate": true, {{Common(leg, end, PairCertificates.ClientId, certificates)}} } },
        """;

    private static string Upstream(Leg leg, string end, PairCertificates certificates, bool forEnvoy) => $$"""
        "transport_socket": { "name": "envoy.transport_sockets.tls", "typed_config": {
              "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
              {{(forEnvoy ? "\"max_session_keys\": 0," : "")}}
              "sni": "{{PairCertificates.ServerName}}", {{Common(leg, end, PairCertificates.ServerId, certificates)}} } },
        """;

    // Envoy's upstream default ends at TLS 1.2.
    private static string Common(Leg leg, string end, string peer, PairCertificates certificates) => $$"""
        "common_tls_context": {
              "tls_params": { "tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3" },
              "alpn_protocols": [ "{{(leg.IsHttp ? "istio-http/1.1" : "istio")}}" ],
              "tls_certificates": [ { "certificate_chain": { "filename": "{{certificates.Chain(end)}}" }, "private_key": { "filename": "{{certificates.Key(end)}}" } } ],
              "validation_context": { "trusted_ca": { "filename": "{{certificates.Roots}}" },
                "match_typed_subject_alt_names": [ { "san_type": "URI", "matcher": { "exact": "{{peer}}" } } ] } }
        """;
}
