using Mesh.Api.Xds;
using Mesh.Sidecar.Config.Builders;
using Mesh.Sidecar.Tests.Config;
using Mesh.Sidecar.Xds;

namespace Mesh.Sidecar.Tests.Xds;

/// <summary>Resources from a file: both spellings, both formats, errors with file and line.</summary>
public sealed class StaticFileTests
{
    [Fact]
    public void Yaml_and_json_and_both_spellings_say_the_same()
    {
        const string yaml = """
            static_resources:
              clusters:
              - name: c
                connect_timeout: 0.25s
                type: STRICT_DNS
                load_assignment:
                  cluster_name: c
                  endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: localhost, port_value: 80}}}}]}]
            """;
        const string json = """
            {"staticResources": {"clusters": [{"name": "c", "connectTimeout": "0.25s", "type": "STRICT_DNS", "loadAssignment":
            {"clusterName": "c", "endpoints": [{"lbEndpoints": [{"endpoint": {"address": {"socketAddress": {"address": "localhost", "portValue": 80}}}}]}]}}]}}
            """;
        foreach (var text in new[] { yaml, json })
        {
            var cluster = Assert.Single(Yaml.Snapshot(text).Clusters);
            Assert.Equal(TimeSpan.FromMilliseconds(250), cluster.ConnectTimeout);
            Assert.Equal("localhost:80", Assert.Single(cluster.Endpoints).Authority);
        }
    }

    [Fact]
    public void Resources_by_type()
    {
        var snapshot = Yaml.Snapshot("""
            resources:
            - "@type": type.googleapis.com/envoy.config.cluster.v3.Cluster
              name: c
              type: EDS
              eds_cluster_config: {eds_config: {ads: {}}, service_name: s}
            - "@type": type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment
              cluster_name: s
              endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 10.0.0.1, port_value: 80}}}}]}]
            """);
        Assert.Equal("10.0.0.1:80", snapshot.Clusters[0].Endpoints[0].Authority);
    }

    [Theory]
    [InlineData("a:\n  b: [", "test.yaml:3: ")]
    [InlineData("\n\nadmin: {}", "test.yaml:3: \"admin\" is not read by this sidecar")]
    [InlineData("a: {b: [c,\nd]}", "test.yaml: is not YAML or JSON")]
    [InlineData("\0", "test.yaml: has no listeners")]
    [InlineData("", "test.yaml: has no listeners")]
    [InlineData("# a comment\n---\n", "test.yaml: has no listeners")]
    [InlineData("- a", "test.yaml:1: the file must be a mapping")]
    [InlineData("static_resources:\n  routes: []", "test.yaml:2: \"routes\" is not read")]
    [InlineData("static_resources:\n  clusters: {}", "test.yaml:2: clusters must be a list")]
    [InlineData("static_resources:\n  clusters:\n  - name: a\n    nonsense: 1", "test.yaml:4: envoy.config.cluster.v3.Cluster has no field \"nonsense\"")]
    [InlineData("static_resources:\n  clusters:\n  - name: a\n    type: SOMETIMES", "test.yaml:4: ")]
    [InlineData("static_resources:\n  clusters:\n  - name: a\n    connect_timeout: soon", "test.yaml:4: ")]
    [InlineData("static_resources:\n  clusters:\n  - name: a\n  - name: b\n    connect_timeout: 0s", "test.yaml:4: Cluster b: connect_timeout: must be more than 0")]
    [InlineData("resources:\n- {}", "test.yaml:2: ")]
    [InlineData("resources:\n- \"@type\": type.googleapis.com/no.such.Type", "test.yaml:2: ")]
    [InlineData("resources:\n- \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router", "test.yaml:2: \"type.googleapis.com/envoy.extensions.filters.http.router.v3.Router\" is not a resource")]
    [InlineData("static_resources:\n  clusters:\n  - {name: a, type: EDS, eds_cluster_config: {eds_config: {ads: {}}}}", "test.yaml: \"a\" is asked for")]
    [InlineData("a: &a [1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: 1", "is not read by this sidecar")]
    public void Errors_have_file_and_line(string text, string expected) =>
        Assert.Contains(Yaml.Errors(text), e => e.Contains(expected, StringComparison.Ordinal));

    [Theory]
    [InlineData("type: SOMETIMES", "type: \"SOMETIMES\" is not one of STATIC, STRICT_DNS")]
    [InlineData("connect_timeout: soon", "\"soon\" is not a duration such as 1.5s")]
    [InlineData("connect_timeout: {}", "\"(a structure)\" is not a duration")]
    [InlineData("connect_timeout: 1s\n    connectTimeout: 1s", "\"connectTimeout\" is there twice")]
    [InlineData("type: EDS\n    cluster_type: {name: x}", "\"cluster_type\" and \"type\" exclude each other")]
    [InlineData("health_checks: {}", "health_checks must be a list")]
    [InlineData("eds_cluster_config: []", "must be a mapping: the fields of envoy.config.cluster.v3.Cluster.EdsClusterConfig")]
    [InlineData("alt_stat_name: [a]", "alt_stat_name must be a single value")]
    [InlineData("least_request_lb_config: {choice_count: -1}", "\"-1\" is not a whole number from 0")]
    [InlineData("load_assignment: {endpoints: [{priority: x}]}", "priority: \"x\" is not a whole number from 0")]
    [InlineData("transport_socket: {typed_config: {a: b}}", "\"@type\" is missing")]
    [InlineData("transport_socket: {typed_config: {\"@type\": type.googleapis.com/no.such.Type}}", "\"type.googleapis.com/no.such.Type\" is not a type this sidecar knows")]
    public void A_value_that_is_not_of_its_field_is_said(string field, string expected) =>
        Assert.Contains(Yaml.Errors($"static_resources:\n  clusters:\n  - name: a\n    {field}"), e => e.Contains(expected, StringComparison.Ordinal));

    [Fact]
    public void Every_field_and_form_becomes_what_proto_json_makes_of_it()
    {
        const string json = """
            {"name": "c", "type": "EDS", "connect_timeout": "1.000000001s", "edsClusterConfig": {"eds_config": {"ads": {}}},
            "circuit_breakers": {"thresholds": [{"max_requests": 4294967295}]}, "http2ProtocolOptions": {}, "commonLbConfig": {"healthyPanicThreshold": {"value": 12.5}},
            "metadata": {"filter_metadata": {"mesh.source": {"name": "x", "rule": 1.5, "yes": true, "none": null, "list": [1, "a", {"b": []}]}}},
            "typed_extension_protocol_options": {"k": {"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "use_downstream_protocol_config": {}}}, "lb_policy": 1, "alt_stat_name": "\u00e4 \n", "tls": null}
            """;
        var expected = XdsJson.Parser.Parse<Envoy.Config.Cluster.V3.Cluster>(json.Replace(", \"tls\": null", "", StringComparison.Ordinal));
        var errors = new List<string>();
        var yaml = new YamlDotNet.RepresentationModel.YamlStream();
        yaml.Load(new StringReader(json.Replace(", \"tls\": null", ", \"transport_socket\": null", StringComparison.Ordinal)));
        var bytes = new YamlMessage(ProtoSchema.Embedded, (_, text) => errors.Add(text)).Write(yaml.Documents[0].RootNode, "envoy.config.cluster.v3.Cluster");
        Assert.Empty(errors);
        Assert.Equal(expected, Envoy.Config.Cluster.V3.Cluster.Parser.ParseFrom(bytes));
    }

    [Fact]
    public void Aliases_cannot_blow_up()
    {
        var lines = new List<string> { "static_resources:", "  clusters:", "  - name: &n0 {a: b}" };
        for (var i = 1; i < 30; i++) lines.Add($"    f{i}: &n{i} [*n{i - 1}, *n{i - 1}]");
        Assert.NotEmpty(Yaml.Errors(string.Join('\n', lines)));
    }

    [Fact]
    public void A_file_that_is_not_there_is_said()
    {
        var errors = new ConfigErrors();
        StaticFile.Read("/no/such/file.yaml", errors);
        Assert.Contains("/no/such/file.yaml: cannot be read", Assert.Single(errors.Texts), StringComparison.Ordinal);
    }
}
