using System.Diagnostics;
using System.Text.Json.Nodes;
using Envoy.Config.Cluster.V3;
using Envoy.Config.Endpoint.V3;
using Envoy.Config.Listener.V3;
using Google.Protobuf;
using Mesh.Api.Xds;
using Mesh.ControlPlane.Compilation;
using Mesh.Tests;

namespace Mesh.ControlPlane.Tests.Compilation;

/// <summary>A real Envoy reads what we compile: fields, limits and references as its schema wants them, without a network.</summary>
public sealed class EnvoyValidationTests
{
    private static readonly JsonFormatter Json = new(JsonFormatter.Settings.Default.WithTypeRegistry(XdsJson.Types));

    [SkippableFact]
    public Task Envoy_accepts_listeners_routes_clusters_and_endpoints_as_a_static_file() => ValidateAsync(ShopWorld.World.For(ShopWorld.Node));

    [SkippableFact]
    public Task Envoy_accepts_mutual_TLS_and_policies() => ValidateAsync(SecuredShop.World.For(SecuredShop.Node with { UserAgent = "envoy 1.40" }));

    [SkippableFact]
    public Task Envoy_accepts_captured_listeners()
    {
        var capture = new NodeCapture(true, [new HostPort("127.0.0.1", 15001), new HostPort("::1", 15001)], [new HostPort("0.0.0.0", 15006), new HostPort("::", 15006)], true);
        var node = SecuredShop.Node with { UserAgent = "envoy 1.40", Ports = [.. SecuredShop.Node.Ports.Select(port => port with { Listen = null })], Capture = capture };
        var addresses = CapturedOutboundTests.Addresses(("shop/cart", ["240.0.0.1", "fd6d::1"]), ("shop/db", ["240.0.0.2", "fd6d::2"]), ("shop/raw", ["240.0.0.3", "fd6d::3"]));
        return ValidateAsync((SecuredShop.World with { Virtual = addresses }).For(node));
    }

    [SkippableFact]
    public Task Envoy_accepts_services_outside_of_the_mesh() => ValidateAsync(ExternalServiceTests.World.For(CapturedOutboundTests.Node with { UserAgent = "envoy 1.40" }));

    private static async Task ValidateAsync(NodeConfig config)
    {
        var envoy = ExternalProgram.Require("envoy");
        using var folder = new TemporaryFolder();
        var file = Path.Combine(folder.Path, "envoy.json");
        await File.WriteAllTextAsync(file, Bootstrap(config).ToJsonString());

        using var process = Process.Start(new ProcessStartInfo(envoy, ["--mode", "validate", "-c", file, "--log-level", "warn"])
        {
            UseShellExecute = false,
            RedirectStandardError = true,
            RedirectStandardOutput = true,
        })!;
        var errors = process.StandardError.ReadToEndAsync();
        var said = await process.StandardOutput.ReadToEndAsync() + await errors;
        await process.WaitForExitAsync();
        Assert.True(process.ExitCode == 0, said);
        Assert.DoesNotContain("deprecated", said, StringComparison.OrdinalIgnoreCase);
    }

    private static JsonObject Bootstrap(NodeConfig config)
    {
        var routes = config.Routes.Items.ToDictionary(item => item.Name, item => Node(item.Body.Unpack<Envoy.Config.Route.V3.RouteConfiguration>()));
        var listeners = new JsonArray([.. config.Listeners.Items.Select(item => WithRoutes(Node(item.Body.Unpack<Listener>()), routes))]);
        var clusters = new JsonArray([.. config.Clusters.Items.Select(item => Node(item.Body.Unpack<Cluster>())), .. config.Endpoints.Items.Select(Static)]);
        clusters.Add(JsonNode.Parse("""{"name":"xds","type":"STATIC","load_assignment":{"cluster_name":"xds"},"typed_extension_protocol_options":{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions":{"@type":"type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions","explicit_http_config":{"http2_protocol_options":{}}}}}"""));
        clusters.Add(JsonNode.Parse("""{"name":"sds-grpc","type":"STATIC","load_assignment":{"cluster_name":"sds-grpc","endpoints":[{"lb_endpoints":[{"endpoint":{"address":{"pipe":{"path":"/run/sds"}}}}]}]},"typed_extension_protocol_options":{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions":{"@type":"type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions","explicit_http_config":{"http2_protocol_options":{}}}}}"""));
        return new JsonObject
        {
            ["node"] = new JsonObject { ["id"] = "a", ["cluster"] = "b" },
            ["dynamic_resources"] = JsonNode.Parse("""{"ads_config":{"api_type":"GRPC","transport_api_version":"V3","grpc_services":[{"envoy_grpc":{"cluster_name":"xds"}}]}}"""),
            ["static_resources"] = new JsonObject { ["listeners"] = listeners, ["clusters"] = clusters },
        };
    }

    // Routes come by RDS in life; in a static file they stand inside, so that they are validated too.
    private static JsonNode WithRoutes(JsonNode listener, Dictionary<string, JsonNode> routes)
    {
        foreach (var chain in (listener["filterChains"] as JsonArray ?? []).Append(listener["defaultFilterChain"]))
        {
            if (chain?["filters"]!.AsArray()[^1]!["typedConfig"] is not JsonObject http || http["rds"] is not { } rds) continue;
            http["routeConfig"] = routes[(string)rds["routeConfigName"]!].DeepClone();
            http["routeConfig"]!["validateClusters"] = false; // as it is by default for RDS
            http.Remove("rds");
        }

        return listener;
    }

    // A load assignment on its own is no static resource: it is carried by a cluster made for it.
    private static JsonNode Static(Resource endpoints) => new JsonObject
    {
        ["name"] = "eds of " + endpoints.Name,
        ["type"] = "STATIC",
        ["loadAssignment"] = Node(endpoints.Body.Unpack<ClusterLoadAssignment>()),
    };

    private static JsonNode Node(IMessage message) => JsonNode.Parse(Json.Format(message))!;
}
