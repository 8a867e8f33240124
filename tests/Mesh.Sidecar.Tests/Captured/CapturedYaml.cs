using System.Globalization;
using Mesh.Sidecar.Tests.Config;

namespace Mesh.Sidecar.Tests.Captured;

/// <summary>Configuration of captured traffic, as the control plane writes it.</summary>
internal static class CapturedYaml
{
    public const string OriginalDst = "{name: od, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst}}";
    public const string HttpInspector = "{name: http, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.listener.http_inspector.v3.HttpInspector}}";
    public const string Passthrough = "{name: PassthroughCluster, type: ORIGINAL_DST, connect_timeout: 2s, lb_policy: CLUSTER_PROVIDED}";
    public const string BlackHole = "{name: BlackHoleCluster, type: STATIC, connect_timeout: 2s}";

    /// <summary>A file of these listeners and clusters, and other resources.</summary>
    public static string File(string listeners, string clusters, string resources = "") =>
        $"static_resources: {{listeners: [{listeners}], clusters: [{clusters}]}}\nresources: [{resources}]\n";

    /// <summary>The outbound listener of one family.</summary>
    public static string Outbound(string name, string address, string chains, string rest = "PassthroughCluster") =>
        $"{{name: {name}, address: {Address(address, 15001)}, traffic_direction: OUTBOUND, listener_filters: [{OriginalDst}, {HttpInspector}], "
        + $"listener_filters_timeout: 5s, continue_on_listener_filters_timeout: true, filter_chains: [{chains}], default_filter_chain: {{filters: [{TcpFilter(rest)}]}}}}";

    /// <summary>The inbound listener of one family.</summary>
    public static string Inbound(string name, string address, string chains, string fields = "") =>
        $"{{name: {name}, address: {Address(address, 15006)}, traffic_direction: INBOUND, listener_filters: [{OriginalDst}, {HttpInspector}], "
        + $"listener_filters_timeout: 5s, continue_on_listener_filters_timeout: true, {fields} filter_chains: [{chains}]}}";

    /// <summary>A chain for an address and port that is HTTP.</summary>
    public static string HttpChain(string address, int port, string virtualHosts, string match = "") =>
        $"{{filter_chain_match: {{{Match(address, port)} {match}}}, filters: [{HttpFilter(virtualHosts)}]}}";

    /// <summary>A chain for an address and port that is bytes.</summary>
    public static string TcpChain(string address, int port, string cluster) =>
        $"{{filter_chain_match: {{{Match(address, port)}}}, filters: [{TcpFilter(cluster)}]}}";

    public static string HttpFilter(string virtualHosts) => $"{{name: hcm, typed_config: {{{Yaml.Hcm}, {Yaml.Router}, route_config: {{name: r, virtual_hosts: [{virtualHosts}]}}}}}}";

    public static string TcpFilter(string cluster) => $"{{name: tcp, typed_config: {{{Yaml.Tcp}, cluster: {cluster}}}}}";

    /// <summary>A virtual host that sends everything to a cluster.</summary>
    public static string VirtualHost(string name, string domains, string cluster) =>
        $"{{name: {name}, domains: [{domains}], routes: [{{match: {{prefix: /}}, route: {{cluster: {cluster}, timeout: 0s}}}}]}}";

    public static string Cluster(string name, string address, int port) =>
        $"{{name: {name}, type: STATIC, connect_timeout: 2s, load_assignment: {{cluster_name: {name}, endpoints: [{{lb_endpoints: [{Endpoint(address, port)}]}}]}}}}";

    public static string Endpoint(string address, int port, string fields = "") => $"{{endpoint: {{address: {Address(address, port)}}}, {fields}}}";

    public static string Address(string address, int port) => $"{{socket_address: {{address: \"{address}\", port_value: {port.ToString(CultureInfo.InvariantCulture)}}}}}";

    private static string Match(string address, int port) =>
        (address.Length == 0 ? "" : $"prefix_ranges: [{{address_prefix: \"{address}\", prefix_len: {(address.Contains(':', StringComparison.Ordinal) ? 128 : 32)}}}], ")
        + (port == 0 ? "" : string.Create(CultureInfo.InvariantCulture, $"destination_port: {port},"));
}
