using Mesh.Sidecar.Config;
using Mesh.Sidecar.Config.Builders;
using Mesh.Sidecar.Xds;

namespace Mesh.Sidecar.Tests.Config;

/// <summary>Resources written as YAML, for tests.</summary>
internal static class Yaml
{
    public const string Router = "http_filters: [{name: router, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]";

    public const string Hcm = "\"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: x";

    public const string Tcp = "\"@type\": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: x";

    /// <summary>The snapshot of a good file.</summary>
    public static Snapshot Snapshot(string yaml) => new Linker().Link(Set(yaml));

    public static ResourceSet Set(string yaml)
    {
        var errors = new ConfigErrors();
        var set = StaticFile.Parse("test.yaml", yaml, errors);
        Assert.Empty(errors.Texts);
        return set;
    }

    /// <summary>What is wrong with a bad file.</summary>
    public static IReadOnlyList<string> Errors(string yaml)
    {
        var errors = new ConfigErrors();
        var set = StaticFile.Parse("test.yaml", yaml, errors);
        Assert.NotEmpty(errors.Texts);
        Assert.Same(ResourceSet.Empty, set);
        return errors.Texts;
    }

    /// <summary>A file with one listener, named l, whose fields follow its name and address.</summary>
    public static string Listener(string fields) =>
        $"static_resources: {{listeners: [{{name: l, address: {{socket_address: {{address: 127.0.0.1, port_value: 8080}}}}, {fields.ReplaceLineEndings(" ")}}}]}}";

    /// <summary>A file with one listener that serves these virtual hosts.</summary>
    public static string Hosts(string virtualHosts, string fields = "") =>
        Listener($"filter_chains: [{{filters: [{{name: hcm, typed_config: {{{Hcm}, {Router}, route_config: {{name: r, {fields} virtual_hosts: [{virtualHosts}]}}}}}}]}}]");

    /// <summary>A file with one route of one virtual host.</summary>
    public static string Route(string fields) => Hosts($"{{name: v, domains: ['*'], routes: [{{{fields}}}]}}");

    /// <summary>A file with one cluster, named c.</summary>
    public static string Cluster(string fields) => $"static_resources: {{clusters: [{{name: c, {fields.ReplaceLineEndings(" ")}}}]}}";
}
