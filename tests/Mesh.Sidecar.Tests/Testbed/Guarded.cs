using System.Net;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Tests.Config;

namespace Mesh.Sidecar.Tests.Testbed;

/// <summary>Snapshots with RBAC filters, by the way they really come: from resources.</summary>
internal static class Guarded
{
    /// <summary>An inbound listener that speaks HTTP, with these RBAC filters (JSON of the typed config, one an element).</summary>
    public static Snapshot Http(IPEndPoint listen, IPEndPoint app, params string[] filters) => Http(listen, app, new Options(), filters);

    /// <summary>The same with options.</summary>
    public static Snapshot Http(IPEndPoint listen, IPEndPoint app, Options options, params string[] filters) =>
        Yaml.Snapshot($"static_resources: {{listeners: [{Listener(listen, options, HttpChain(options, filters))}], clusters: [{Cluster(app, options)}]}}");

    /// <summary>An inbound listener that passes bytes.</summary>
    public static Snapshot Tcp(IPEndPoint listen, IPEndPoint app, params string[] filters) =>
        Yaml.Snapshot($"static_resources: {{listeners: [{Listener(listen, new Options(), TcpChain(filters))}], clusters: [{Cluster(app, new Options())}]}}");

    /// <summary>An inbound listener that tells HTTP from bytes, with a chain for each.</summary>
    public static Snapshot Detecting(IPEndPoint listen, IPEndPoint app, string[] http, string[] tcp)
    {
        const string Inspector = "listener_filters: [{name: i, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.listener.http_inspector.v3.HttpInspector}}],";
        var options = new Options(Listener: $"{Inspector} default_filter_chain: {TcpChain(tcp)},");
        var detected = HttpChain(options, http).Insert(1, "filter_chain_match: {application_protocols: [http/1.0, http/1.1, h2c]}, ");
        return Yaml.Snapshot($"static_resources: {{listeners: [{Listener(listen, options, detected)}], clusters: [{Cluster(app, options)}]}}");
    }

    /// <summary>RBAC of one action with policies in JSON.</summary>
    public static string Rules(string action, string policies) => $$"""{"rules": {{Action(action, policies)}}}""";

    /// <summary>RBAC that is only tried out.</summary>
    public static string Shadow(string action, string policies) => $$"""{"shadow_rules": {{Action(action, policies)}}}""";

    /// <summary>A policy of one permission and one principal.</summary>
    public static string Policy(string key, string permission, string principal = """{"any": true}""") =>
        $$$"""{"{{{key}}}": {"permissions": [{{{permission}}}], "principals": [{{{principal}}}]}}""";

    public static string Path(string path) => "{\"url_path\": {\"path\": {\"exact\": \"" + path + "\"}}}";

    private static string Action(string action, string policies) => $$"""{"action": "{{action}}", "policies": {{policies}}}""";

    private static string Listener(IPEndPoint listen, Options options, string chains) =>
        $"{{name: in, traffic_direction: INBOUND, address: {{socket_address: {{address: {listen.Address}, port_value: {listen.Port}}}}}, {options.Listener} filter_chains: [{chains}]}}";

    private static string HttpChain(Options options, string[] filters)
    {
        var rbac = filters.Select((f, i) => $"{{name: rbac{i}, typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC, {f[1..]}}}, ");
        var router = Yaml.Router.Replace("http_filters: [", $"http_filters: [{string.Concat(rbac)}", StringComparison.Ordinal);
        const string Routes = "route_config: {name: r, virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: ''}, route: {cluster: app}}]}]}";
        return $"{{filters: [{{name: hcm, typed_config: {{{Yaml.Hcm}, {options.Manager} {router}, {Routes}}}}}]}}";
    }

    private static string TcpChain(string[] filters)
    {
        var rbac = filters.Select((f, i) => $"{{name: rbac{i}, typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC, stat_prefix: x, {f[1..]}}}, ");
        return $"{{filters: [{string.Concat(rbac)}{{name: tcp, typed_config: {{{Yaml.Tcp}, cluster: app}}}}]}}";
    }

    private static string Cluster(IPEndPoint app, Options options) =>
        $"{{name: app, connect_timeout: 5s, {options.Cluster} load_assignment: {{cluster_name: app, endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: {app.Address}, port_value: {app.Port}}}}}}}}}]}}]}}}}";

    /// <summary>More fields, each ending in a comma.</summary>
    internal sealed record Options(string Listener = "", string Manager = "", string Cluster = "");
}
