using Mesh.Sidecar.Balancing;
using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Tests.Config;

/// <summary>What good resources become, and what absent fields mean.</summary>
public sealed class AcceptedResourcesTests
{
    [Fact]
    public void Defaults_surprise_nobody()
    {
        var snapshot = Yaml.Snapshot(Yaml.Route("match: {prefix: /}, route: {cluster: c}"));
        var listener = Assert.Single(snapshot.Listeners)!;
        var http = listener.Chains[0].Http!;
        var route = http.Routes.Hosts[0].Routes[0];
        Assert.Equal(TimeSpan.Zero, http.StreamIdleTimeout);
        Assert.Equal(HttpCodec.Auto, http.Codec);
        Assert.Equal(TimeSpan.Zero, route.Timeout);
        Assert.Same(RetryPolicy.None, route.Retry);
        Assert.Equal(503, route.ClusterNotFoundStatus);
        Assert.Equal(Direction.Outbound, listener.Direction);
        Assert.True(route.Match.CaseSensitive);
        var cluster = Assert.Single(Yaml.Snapshot(Yaml.Cluster("type: STATIC")).Clusters);
        Assert.Equal((ClusterKind.Endpoints, LbPolicy.RoundRobin, UpstreamProtocol.Http1, TimeSpan.FromSeconds(5)), (cluster.Kind, cluster.Policy, cluster.Protocol, cluster.ConnectTimeout));
        var tcp = Yaml.Snapshot(Yaml.Listener($"default_filter_chain: {{filters: [{{name: t, typed_config: {{{Yaml.Tcp}, cluster: c}}}}]}}")).Listeners[0]!.DefaultChain!.Tcp!;
        Assert.Equal(TimeSpan.FromHours(1), tcp.IdleTimeout);
    }

    [Theory]
    [InlineData("", UpstreamProtocol.Http1)]
    [InlineData("http2_protocol_options: {}", UpstreamProtocol.Http2)]
    [InlineData("typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {\"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http2_protocol_options: {}}}}", UpstreamProtocol.Http2)]
    [InlineData("typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {\"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http_protocol_options: {}}}}", UpstreamProtocol.Http1)]
    [InlineData("typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {\"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, use_downstream_protocol_config: {}}}", UpstreamProtocol.Downstream)]
    public void Upstream_protocol(string fields, UpstreamProtocol expected) => Assert.Equal(expected, Yaml.Snapshot(Yaml.Cluster(fields)).Clusters[0].Protocol);

    [Theory]
    [InlineData("lb_policy: LEAST_REQUEST", LbPolicy.LeastRequest)]
    [InlineData("lb_policy: RANDOM", LbPolicy.Random)]
    [InlineData("lb_policy: CLUSTER_PROVIDED, type: ORIGINAL_DST", LbPolicy.RoundRobin)]
    [InlineData("load_balancing_policy: {policies: [{typed_extension_config: {name: x, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash}}}, {typed_extension_config: {name: x, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest}}}]}", LbPolicy.LeastRequest)]
    public void Balancing_policy(string fields, LbPolicy expected) => Assert.Equal(expected, Yaml.Snapshot(Yaml.Cluster(fields)).Clusters[0].Policy);

    [Fact]
    public void Original_destination_passes_through() => Assert.Equal(ClusterKind.Passthrough, Yaml.Snapshot(Yaml.Cluster("type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED")).Clusters[0].Kind);

    [Fact]
    public void Bounds_that_nobody_can_reach_are_no_bounds() =>
        Assert.Single(Yaml.Snapshot(Yaml.Cluster("circuit_breakers: {thresholds: [{max_requests: 4294967295, max_connections: 4294967295}]}")).Clusters);

    [Fact]
    public void Endpoints_by_priority_without_the_unhealthy_and_the_double()
    {
        var cluster = Yaml.Snapshot(Yaml.Cluster("""
            load_assignment: {cluster_name: c, endpoints: [
            {priority: 1, lb_endpoints: [{endpoint: {address: {socket_address: {address: 10.0.0.9, port_value: 80}}}}]},
            {lb_endpoints: [
            {load_balancing_weight: 5, endpoint: {address: {socket_address: {address: 10.0.0.1, port_value: 80}}},
             metadata: {filter_metadata: {mesh.workload: {id: web-1, workload: web, namespace: shop, service: web, version: v2}}}},
            {health_status: UNHEALTHY, endpoint: {address: {socket_address: {address: 10.0.0.2, port_value: 80}}}},
            {health_status: DRAINING, endpoint: {address: {socket_address: {address: 10.0.0.3, port_value: 80}}}},
            {health_status: HEALTHY, endpoint: {address: {socket_address: {address: "::1", port_value: 80}}}},
            {endpoint: {address: {socket_address: {address: 10.0.0.1, port_value: 80}}}}]}]}
            """)).Clusters[0];
        Assert.Equal(["10.0.0.1:80", "[::1]:80", "10.0.0.9:80"], cluster.Endpoints.Select(e => e.Authority));
        Assert.Equal(new PeerLabels("web", "shop", "web", "v2"), cluster.Endpoints[0].Peer);
        Assert.Equal((5u, 0u, "10.0.0.1:80"), (cluster.Endpoints[0].Weight, cluster.Endpoints[0].Priority, cluster.Endpoints[0].Address!.ToString()));
        Assert.Equal(1u, cluster.Endpoints[2].Priority);
        Assert.Same(PeerLabels.Unknown, cluster.Endpoints[1].Peer);
    }

    [Fact]
    public void Durations_longer_than_any_timer_are_the_longest_that_one_takes()
    {
        var route = Yaml.Snapshot(Yaml.Route("""
            match: {prefix: /}, route: {cluster: c, timeout: 359996400s, retry_policy: {retry_on: connect-failure, per_try_timeout: 359996400s, retry_back_off: {base_interval: 359996400s}}}
            """)).Listeners[0]!.Chains[0].Http!.Routes.Hosts[0].Routes[0];
        foreach (var time in (TimeSpan[])[route.Timeout, route.Retry.PerTryTimeout, route.Retry.BackoffBase, route.Retry.BackoffMax])
        {
            Assert.Equal(TimeSpan.FromDays(49), time);
            using var timer = TimeProvider.System.CreateTimer(_ => { }, null, time, Timeout.InfiniteTimeSpan);
        }
    }

    [Fact]
    public void Retry_policy()
    {
        var retry = Yaml.Snapshot(Yaml.Route("""
            match: {prefix: /}, route: {cluster: c, timeout: 2s, cluster_not_found_response_code: INTERNAL_SERVER_ERROR, retry_policy:
            {retry_on: "connect-failure, refused-stream,retriable-status-codes,unavailable", num_retries: 3, per_try_timeout: 0.5s,
            retriable_status_codes: [504, 502, 502], retry_back_off: {base_interval: 0.01s},
            retry_host_predicate: [{name: envoy.retry_host_predicates.previous_hosts}]}}
            """)).Listeners[0]!.Chains[0].Http!.Routes.Hosts[0].Routes[0];
        Assert.Equal((TimeSpan.FromSeconds(2), 500), (retry.Timeout, retry.ClusterNotFoundStatus));
        Assert.Equal(RetryOn.ConnectFailure | RetryOn.RefusedStream | RetryOn.StatusCodes, retry.Retry.On);
        Assert.Equal((int[])[502, 504], retry.Retry.StatusCodes.ToArray());
        Assert.Equal((3, TimeSpan.FromMilliseconds(500), TimeSpan.FromMilliseconds(10), TimeSpan.FromMilliseconds(100)),
            (retry.Retry.MaxRetries, retry.Retry.PerTryTimeout, retry.Retry.BackoffBase, retry.Retry.BackoffMax));
    }

    [Fact]
    public void A_virtual_host_lends_its_retry_policy()
    {
        var routes = Yaml.Snapshot(Yaml.Hosts("""
            {name: v, domains: ['*'], retry_policy: {retry_on: reset}, routes: [{match: {path: /a}, route: {cluster: c}},
            {match: {prefix: /}, route: {cluster: c, retry_policy: {retry_on: 5xx}}}]}
            """)).Listeners[0]!.Chains[0].Http!.Routes.Hosts[0].Routes;
        Assert.Equal((RetryOn.Reset, 1), (routes[0].Retry.On, routes[0].Retry.MaxRetries));
        Assert.Equal(RetryOn.ServerErrors, routes[1].Retry.On);
    }

    [Fact]
    public void Weights_and_provenance()
    {
        var route = Yaml.Snapshot(Yaml.Route("""
            match: {prefix: /}, metadata: {filter_metadata: {mesh.source: {kind: HTTPRoute, namespace: shop, name: canary, rule: 0, location: "rules/shop.yaml:12"}}},
            route: {weighted_clusters: {clusters: [{name: a, weight: 90}, {name: off, weight: 0}, {name: b, weight: 10}]}}
            """)).Listeners[0]!.Chains[0].Http!.Routes.Hosts[0].Routes[0];
        Assert.Equal("HTTPRoute shop/canary rule 0 (rules/shop.yaml:12)", route.Source);
        Assert.Equal([("a", 90u), ("b", 10u)], route.Clusters.Select(c => (c.Name, c.Weight)));
        Assert.Equal(100u, route.TotalWeight);
        Assert.All(route.Clusters, c => Assert.Null(c.Cluster));
    }

    [Fact]
    public void Direct_response()
    {
        var route = Yaml.Snapshot(Yaml.Route("match: {prefix: /}, direct_response: {status: 404, body: {inline_string: gone}}")).Listeners[0]!.Chains[0].Http!.Routes.Hosts[0].Routes[0];
        Assert.Equal((404, "gone"), (route.DirectStatus, route.DirectBody));
    }

    [Fact]
    public void A_detecting_listener()
    {
        var listener = Yaml.Snapshot(Yaml.Listener($$$"""
            traffic_direction: INBOUND, continue_on_listener_filters_timeout: true, listener_filters_timeout: 0.1s,
            listener_filters: [{name: h, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.http_inspector.v3.HttpInspector} }],
            filter_chains: [{name: http, filter_chain_match: {application_protocols: [http/1.1, h2c], transport_protocol: raw_buffer},
            filters: [{name: hcm, typed_config: { {{{Yaml.Hcm}}}, {{{Yaml.Router}}}, route_config: {virtual_hosts: []} } } ] } ],
            default_filter_chain: {filters: [{name: t, typed_config: { {{{Yaml.Tcp}}}, cluster: c, idle_timeout: 0s} }]}
            """)).Listeners[0]!;
        Assert.Equal((true, TimeSpan.FromMilliseconds(100), Direction.Inbound), (listener.InspectsHttp, listener.DetectTimeout, listener.Direction));
        Assert.Equal((string[])["http/1.1", "h2c"], listener.Chains[0].ApplicationProtocols.ToArray());
        Assert.NotNull(listener.Chains[0].Http);
        Assert.Equal(TimeSpan.Zero, listener.DefaultChain!.Tcp!.IdleTimeout);
    }

    [Fact]
    public void Filters_that_may_be_skipped_are()
    {
        var http = Yaml.Snapshot(Yaml.Listener($$$"""
            filter_chains: [{filters: [{name: hcm, typed_config: { {{{Yaml.Hcm}}}, route_config: {}, http_filters: [
            {name: fault, is_optional: true, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy} },
            {name: off, disabled: true, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy} },
            {name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router} }]} }]}]
            """)).Listeners[0]!.Chains[0].Http;
        Assert.NotNull(http);
    }
}
