namespace Mesh.Sidecar.Tests.Config;

/// <summary>Each reason for a NACK: the error names the resource, the field and the value.</summary>
public sealed class RefusedResourcesTests
{
    private const string Any = "match: {prefix: /}";

    public static TheoryData<string, string> Routes => new()
    {
        { "route: {cluster: c}", "routes[0].match: is missing" },
        { "match: {}, route: {cluster: c}", "match: one of prefix, path, path_separated_prefix, safe_regex is needed" },
        { "match: {path_separated_prefix: /a/}, route: {cluster: c}", "match.path_separated_prefix: \"/a/\" must begin with /" },
        { "match: {path_separated_prefix: a}, route: {cluster: c}", "match.path_separated_prefix: \"a\" must begin with /" },
        { "match: {safe_regex: {regex: '('}}, route: {cluster: c}", "match.safe_regex.regex: \"(\" is not an expression" },
        { "match: {safe_regex: {regex: 'a)|(b'}}, route: {cluster: c}", "match.safe_regex.regex: \"a)|(b\" is not an expression" },
        { "match: {safe_regex: {regex: '(?=a)'}}, route: {cluster: c}", "match.safe_regex.regex: \"(?=a)\" is not an expression" },
        { "match: {safe_regex: {regex: '(a)\\1'}}, route: {cluster: c}", "match.safe_regex.regex: \"(a)\\1\" is not an expression" },
        { "match: {safe_regex: {regex: 'a{90000}{90000}'}}, route: {cluster: c}", "match.safe_regex.regex:" },
        { "match: {safe_regex: {}}, route: {cluster: c}", "match.safe_regex.regex: is empty" },
        { $"match: {{safe_regex: {{regex: '{new string('a', 5000)}'}}}}, route: {{cluster: c}}", "is 5000 characters long; the most is 4096" },
        { "match: {connect_matcher: {}}, route: {cluster: c}", "match.connect_matcher: is not supported" },
        { "match: {prefix: /, runtime_fraction: {default_value: {numerator: 5}}}, route: {cluster: c}", "match.runtime_fraction: is not supported" },
        { "match: {prefix: /, headers: [{exact_match: a}]}, route: {cluster: c}", "match.headers[0].name: is empty" },
        { "match: {prefix: /, headers: [{name: a, range_match: {start: '1', end: '2'}}]}, route: {cluster: c}", "match.headers[0].range_match: is not supported" },
        { "match: {prefix: /, headers: [{name: a, string_match: {}}]}, route: {cluster: c}", "match.headers[0].string_match: one of exact" },
        { "match: {prefix: /, query_parameters: [{string_match: {exact: a}}]}, route: {cluster: c}", "match.query_parameters[0].name: is empty" },
        { Any, "routes[0]: one of route, direct_response is needed" },
        { $"{Any}, redirect: {{host_redirect: a}}", "routes[0].redirect: is not supported" },
        { $"{Any}, non_forwarding_action: {{}}", "routes[0].non_forwarding_action: is not supported" },
        { $"{Any}, direct_response: {{status: 99}}", "direct_response.status: 99 is not a final HTTP status" },
        { $"{Any}, direct_response: {{status: 200, body: {{filename: /etc/passwd}}}}", "direct_response.body: must be inline_string" },
        { $"{Any}, route: {{}}", "route: one of cluster, weighted_clusters is needed" },
        { $"{Any}, route: {{cluster: ''}}", "route.cluster: is empty" },
        { $"{Any}, route: {{cluster_header: x}}", "route.cluster_header: is not supported" },
        { $"{Any}, route: {{weighted_clusters: {{}}}}", "route.weighted_clusters: the sum of the weights is 0" },
        { $"{Any}, route: {{weighted_clusters: {{clusters: [{{name: a, weight: 0}}]}}}}", "route.weighted_clusters: the sum of the weights is 0" },
        { $"{Any}, route: {{weighted_clusters: {{clusters: [{{name: a}}]}}}}", "route.weighted_clusters.clusters[0].weight: is missing" },
        { $"{Any}, route: {{weighted_clusters: {{clusters: [{{name: a, weight: 4294967295}}, {{name: b, weight: 1}}]}}}}", "is more than 4294967295" },
        { $"{Any}, route: {{weighted_clusters: {{clusters: [{{name: a, weight: 1, request_headers_to_remove: [x]}}]}}}}", "clusters[0].request_headers_to_remove: is not supported" },
        { $"{Any}, route: {{cluster: c, prefix_rewrite: /b}}", "route.prefix_rewrite: is not supported" },
        { $"{Any}, route: {{cluster: c, host_rewrite_literal: b}}", "route.host_rewrite_specifier: is not supported" },
        { $"{Any}, route: {{cluster: c, request_mirror_policies: [{{cluster: b}}]}}", "route.request_mirror_policies: is not supported" },
        { $"{Any}, route: {{cluster: c, timeout: -1s}}", "route.timeout: -1s 0ns is not a duration" },
        { $"{Any}, route: {{cluster: c, idle_timeout: 5s}}", "route.idle_timeout: is not supported" },
        { $"{Any}, route: {{cluster: c, retry_policy: {{retry_on: 'connect-failure,sometimes'}}}}", "route.retry_policy.retry_on: \"sometimes\" is not a retry condition" },
        { $"{Any}, route: {{cluster: c, retry_policy: {{retriable_status_codes: [700]}}}}", "route.retry_policy.retriable_status_codes[0]: 700 is not an HTTP status" },
        { $"{Any}, route: {{cluster: c, retry_policy: {{retry_back_off: {{base_interval: 0s}}}}}}", "retry_back_off.base_interval: must be more than 0" },
        { $"{Any}, route: {{cluster: c, retry_policy: {{retry_back_off: {{base_interval: 2s, max_interval: 1s}}}}}}", "retry_back_off.max_interval: 1000 ms is less than base_interval" },
        { $"{Any}, route: {{cluster: c}}, request_headers_to_add: [{{header: {{key: a, value: b}}}}]", "routes[0].request_headers_to_add: is not supported" },
        { $"{Any}, route: {{cluster: c}}, typed_per_filter_config: {{x: {{\"@type\": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC}}}}", "routes[0].typed_per_filter_config: is not supported" },
    };

    [Theory]
    [MemberData(nameof(Routes))]
    public void Route(string fields, string expected) => Expect(Yaml.Route(fields), "Listener l: filter_chains[0].filters[0].route_config.virtual_hosts[0].", expected);

    public static TheoryData<string, string> VirtualHosts => new()
    {
        { "{name: a, domains: [x]}, {name: a, domains: [y]}", "virtual_hosts[1].name: \"a\" is used twice" },
        { "{name: a, domains: [x]}, {name: b, domains: [y, X]}", "virtual_hosts[1].domains[1]: \"X\" is used twice" },
        { "{name: a, domains: ['*']}, {name: b, domains: ['*']}", "virtual_hosts[1].domains[0]: \"*\" is used twice" },
        { "{name: a, domains: ['*.x']}, {name: b, domains: ['*.x']}", "virtual_hosts[1].domains[0]: \"*.x\" is used twice" },
        { "{name: a, domains: ['a*b']}", "virtual_hosts[0].domains[0]: \"a*b\": one * is allowed" },
        { "{name: a, domains: ['*b*']}", "virtual_hosts[0].domains[0]: \"*b*\": one * is allowed" },
        { "{name: a, domains: ['']}", "virtual_hosts[0].domains[0]: is empty" },
        { "{name: a}", "virtual_hosts[0].domains: is empty" },
        { "{domains: [a]}", "virtual_hosts[0].name: is empty" },
        { "{name: a, domains: [a], require_tls: ALL}", "virtual_hosts[0].require_tls: is not supported" },
        { "{name: a, domains: [a], hedge_policy: {}}", "virtual_hosts[0].hedge_policy: is not supported" },
    };

    [Theory]
    [MemberData(nameof(VirtualHosts))]
    public void VirtualHost(string hosts, string expected) => Expect(Yaml.Hosts(hosts), "Listener l: filter_chains[0].filters[0].route_config.", expected);

    public static TheoryData<string, string> Listeners => new()
    {
        { "filter_chains: []", "filter_chains: is empty" },
        { "filter_chains: [{}]", "filter_chains[0].filters: is empty" },
        { "use_original_dst: true", "use_original_dst: is not supported" },
        { "bind_to_port: false", "bind_to_port (false): is not supported" },
        { "listener_filters: [{name: o, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]", "listener_filters[0]: \"o\" (type.googleapis.com/envoy.extensions.filters.http.router.v3.Router) is not supported" },
        { "filter_chains: [{filters: [{name: rbac, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC}}]}]", "filter_chains[0].filters: ends without an HttpConnectionManager or a TcpProxy" },
        { NetworkRbac("rules: {policies: {p: {permissions: [{any: true}]}}}"), "filters[0].rules: policies[\"p\"].principals: is empty" },
        { NetworkRbac("rules: {policies: {p: {permissions: [{url_path: {path: {exact: /}}}], principals: [{any: true}]}}}"), "filters[0].rules: policies[\"p\"].permissions[0].url_path: is not supported: a TCP connection has no path" },
        { NetworkRbac("shadow_rules: {action: 5}"), "filters[0].shadow_rules: action: 5 is not known" },
        { HttpRbac("rules: {policies: {p: {permissions: [{metadata: {filter: f}}], principals: [{any: true}]}}}"), "http_filters[0].rules: policies[\"p\"].permissions[0].metadata: is not supported" },
        { HttpRbac("shadow_rules: {policies: {p: {permissions: [{url_path: {path: {safe_regex: {regex: '('}}}}], principals: [{any: true}]}}}"), "http_filters[0].shadow_rules: policies[\"p\"].permissions[0].url_path.path.safe_regex.regex: \"(\" is not an expression" },
        { HttpRbac("rules: {}", ", disabled: true"), "http_filters[0].disabled: is not supported" },
        { Hcm("route_config: {}, forward_client_cert_details: APPEND_FORWARD"), "forward_client_cert_details: AppendForward would pass on what a peer says of itself" },
        { Hcm("route_config: {}, forward_client_cert_details: FORWARD_ONLY"), "forward_client_cert_details: ForwardOnly would pass on" },
        { Hcm("route_config: {}, forward_client_cert_details: SANITIZE_SET, set_current_client_cert_details: {cert: true}"), "set_current_client_cert_details.cert: is not supported" },
        { "filter_chains: [{filters: [{name: x}]}]", "filters[0]: \"x\" (no typed_config) is not supported" },
        { $"filter_chains: [{{filters: [{{name: t, typed_config: {{{Yaml.Tcp}, cluster: c}}}}, {{name: u, typed_config: {{{Yaml.Tcp}, cluster: c}}}}]}}]", "filters[1]: \"u\" comes after the filter that ends the chain" },
        { $"filter_chains: [{{filters: [{{name: t, typed_config: {{{Yaml.Tcp}}}}}]}}]", "filters[0]: one of cluster, weighted_clusters is needed" },
        { $"filter_chains: [{{filters: [{{name: t, typed_config: {{{Yaml.Tcp}, weighted_clusters: {{clusters: [{{name: a, weight: 0}}]}}}}}}]}}]", "weighted_clusters: the sum of the weights is 0" },
        { $"filter_chains: [{{transport_socket: {{name: tls, typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext}}}}, filters: [{{name: t, typed_config: {{{Yaml.Tcp}, cluster: c}}}}]}}]", "filter_chains[0].transport_socket.require_client_certificate: must be true" },
        { $"filter_chains: [{{filter_chain_match: {{server_names: [a]}}, filters: [{{name: t, typed_config: {{{Yaml.Tcp}, cluster: c}}}}]}}]", "filter_chain_match.server_names: is not supported" },
        { $"filter_chains: [{{filter_chain_match: {{transport_protocol: quic}}, filters: [{{name: t, typed_config: {{{Yaml.Tcp}, cluster: c}}}}]}}]", "filter_chain_match.transport_protocol \"quic\": is not supported" },
        { $"filter_chains: [{{filters: [{{name: t, typed_config: {{{Yaml.Tcp}, cluster: c}}}}]}}, {{filters: [{{name: t, typed_config: {{{Yaml.Tcp}, cluster: c}}}}]}}]", "filter_chains[1].filter_chain_match: matches the same" },
        { Hcm("rds: {route_config_name: r}"), "filters[0].rds.config_source: is missing" },
        { Hcm("rds: {config_source: {ads: {}}}"), "filters[0].rds.route_config_name: is empty" },
        { Hcm("rds: {route_config_name: r, config_source: {path: /x}}"), "filters[0].rds.config_source: must be ads or self" },
        { Hcm("stream_idle_timeout: 1s"), "filters[0]: one of rds, route_config is needed" },
        { Hcm("route_config: {}, codec_type: HTTP3"), "filters[0].codec_type Http3: is not supported" },
        { Hcm("route_config: {}, upgrade_configs: [{upgrade_type: websocket, filters: [{name: rbac}]}]"), "filters[0].upgrade_configs[0].filters: is not supported" },
        { Hcm("route_config: {}, normalize_path: true"), "filters[0].normalize_path: is not supported" },
        { Hcm("route_config: {}, request_timeout: 1s"), "filters[0].request_timeout: is not supported" },
        { $"filter_chains: [{{filters: [{{name: hcm, typed_config: {{{Yaml.Hcm}, route_config: {{}}}}}}]}}]", "filters[0].http_filters: the last one must be envoy.extensions.filters.http.router.v3.Router" },
        { $"filter_chains: [{{filters: [{{name: hcm, typed_config: {{{Yaml.Hcm}, route_config: {{}}, http_filters: [{{name: rbac, typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC}}}}]}}}}]}}]", "filters[0].http_filters: the last one must be envoy.extensions.filters.http.router.v3.Router" },
    };

    [Theory]
    [MemberData(nameof(Listeners))]
    public void Listener(string fields, string expected) => Expect(Yaml.Listener(fields), "test.yaml:1: Listener l: ", expected);

    [Theory]
    [InlineData("{}", "address: must be a socket_address")]
    [InlineData("{pipe: {path: /x}}", "address: must be a socket_address")]
    [InlineData("{socket_address: {address: 127.0.0.1}}", "address.socket_address.port_value: 0 is not a port")]
    [InlineData("{socket_address: {address: 127.0.0.1, port_value: 70000}}", "address.socket_address.port_value: 70000 is not a port")]
    [InlineData("{socket_address: {address: web, port_value: 1}}", "address.socket_address.address: \"web\" is not an IP address")]
    [InlineData("{socket_address: {address: 'a b', port_value: 1}}", "address.socket_address.address: \"a b\" is neither an IP address nor a host name")]
    public void Listener_address(string address, string expected) =>
        Expect($"static_resources: {{listeners: [{{name: l, address: {address}, default_filter_chain: {{}}}}]}}", "Listener l: ", expected);

    public static TheoryData<string, string> Clusters => new()
    {
        { "type: EDS", "eds_cluster_config.eds_config: is missing" },
        { "type: EDS, eds_cluster_config: {eds_config: {path: /x}}", "eds_cluster_config.eds_config: must be ads or self" },
        { "connect_timeout: 0s", "connect_timeout: must be more than 0" },
        { "lb_policy: RING_HASH", "lb_policy RingHash: is not supported" },
        { "cluster_type: {name: envoy.clusters.aggregate}", "cluster_type: is not supported" },
        { "type: 9", "type: 9 is not known" },
        { "health_checks: [{timeout: 1s}]", "health_checks: is not supported" },
        { "outlier_detection: {}", "outlier_detection: is not supported" },
        { "circuit_breakers: {thresholds: [{max_requests: 10}]}", "circuit_breakers.thresholds[0]: is not supported" },
        { "transport_socket: {name: t, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext}}", "transport_socket.common_tls_context: a validation context is needed" },
        { "load_balancing_policy: {policies: [{typed_extension_config: {name: x, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}}]}", "load_balancing_policy.policies: none is known" },
        { "typed_extension_protocol_options: {x: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}", "typed_extension_protocol_options[x]: type.googleapis.com/envoy.extensions.filters.http.router.v3.Router is not supported" },
        { "typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {\"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions}}", "one of explicit_http_config, use_downstream_protocol_config is needed" },
        { Endpoint("{endpoint: {address: {socket_address: {address: web, port_value: 1}}}}"), "load_assignment: \"web\" is not an IP address: a host name needs the type STRICT_DNS" },
        { Endpoint("{endpoint: {}}"), "load_assignment.endpoints[0].lb_endpoints[0].endpoint.address: is missing" },
        { Endpoint("{load_balancing_weight: 0, endpoint: {address: {socket_address: {address: 1.1.1.1, port_value: 1}}}}"), "lb_endpoints[0].load_balancing_weight: must be at least 1" },
    };

    [Theory]
    [MemberData(nameof(Clusters))]
    public void Cluster(string fields, string expected) => Expect(Yaml.Cluster(fields), "test.yaml:1: Cluster c: ", expected);

    [Fact]
    public void Names_and_addresses_must_be_unique()
    {
        Expect("static_resources: {clusters: [{name: c}, {name: c, connect_timeout: 1s}]}", "Cluster c: ", "is there twice in one answer");
        const string one = "address: {socket_address: {address: 127.0.0.1, port_value: 80}}, default_filter_chain: {}";
        Expect($"static_resources: {{listeners: [{{name: a, {one}}}, {{name: b, {one}}}]}}", "Listener a and b: ", "address: 127.0.0.1:80 is used twice");
        Expect("static_resources: {clusters: [{}]}", "Cluster ", "name: is empty");
    }

    [Fact]
    public void Every_error_is_found()
    {
        var errors = Yaml.Errors(Yaml.Route($"{Any}, redirect: {{}}, request_headers_to_remove: [a], response_headers_to_remove: [b]"));
        Assert.Equal(3, errors.Count);
    }

    private static string Endpoint(string endpoint) => $"load_assignment: {{cluster_name: c, endpoints: [{{lb_endpoints: [{endpoint}]}}]}}";

    private static string Hcm(string fields) => $"filter_chains: [{{filters: [{{name: hcm, typed_config: {{{Yaml.Hcm}, {Yaml.Router}, {fields}}}}}]}}]";

    private static string HttpRbac(string fields, string filter = "") =>
        $"filter_chains: [{{filters: [{{name: hcm, typed_config: {{{Yaml.Hcm}, route_config: {{}}, http_filters: [{{name: rbac, typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC, {fields}}}{filter}}}]}}}}]}}]";

    private static string NetworkRbac(string fields) =>
        $"filter_chains: [{{filters: [{{name: rbac, typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC, stat_prefix: x, {fields}}}}}]}}]";

    private static void Expect(string yaml, string place, string expected)
    {
        var errors = Yaml.Errors(yaml);
        Assert.Contains(errors, e => e.Contains(place, StringComparison.Ordinal) && e.Contains(expected, StringComparison.Ordinal));
    }
}
