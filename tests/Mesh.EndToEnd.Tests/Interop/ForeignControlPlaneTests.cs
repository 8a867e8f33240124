using System.Text.Json;
using Mesh.EndToEnd.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Interop;

/// <summary>Our sidecar under an ADS server that is not ours: grpc-js on the official protos.</summary>
public sealed class ForeignControlPlaneTests
{
    [SkippableFact]
    public async Task The_sidecar_serves_what_another_control_plane_says_and_nacks_nonsense()
    {
        await NodePackages.RequireAsync();
        await using var ads = NodePackages.Start("ads-server.js", []);
        var xds = $"127.0.0.1:{JsonDocument.Parse(await ads.NextLineAsync()).RootElement.GetProperty("port").GetInt32()}";
        await using var one = await EchoApp.StartAsync("one");
        await using var two = await EchoApp.StartAsync("two");
        await using var sidecar = await SidecarProcess.LaunchAsync("client-1", ["--control-plane", $"http://{xds}", "--service", "client"]);
        await ads.TellAsync(Config("1", sidecar.Outbound, one.Port));
        await sidecar.BecomeReadyAsync();
        using var http = sidecar.Client();
        Assert.Equal("one GET /a", await http.GetStringAsync("http://svc.example/a"));
        await SeesAsync(ads, r => r.Type == "lds" && r.Version == "1" && r.Error is null);

        await ads.TellAsync(Config("2", sidecar.Outbound, two.Port));
        await Eventually.PassesAsync(async () => Assert.Equal("two GET /", await http.GetStringAsync("http://svc.example/")));

        // A route without any action is nonsense: refused with the reason, and what served before goes on serving.
        await ads.TellAsync(Config("3", sidecar.Outbound, one.Port).Replace("\"route\":", "\"name\":\"x\",\"metadata\":{},\"decorator\":", StringComparison.Ordinal)
            .Replace("{\"cluster\":\"svc\"}", "{\"operation\":\"x\"}", StringComparison.Ordinal));
        var nack = await SeesAsync(ads, r => r.Error is not null);
        Assert.Equal(("rds", "2"), (nack.Type, nack.Version));
        Assert.Contains("svc-routes", nack.Error!, StringComparison.Ordinal);
        Assert.StartsWith("one", (await http.GetStringAsync("http://svc.example/")).Replace("two", "one", StringComparison.Ordinal), StringComparison.Ordinal);
    }

    private static async Task<Request> SeesAsync(ChildProcess ads, Func<Request, bool> wanted)
    {
        while (true)
        {
            var request = JsonSerializer.Deserialize<Request>(await ads.NextLineAsync(), JsonSerializerOptions.Web)!;
            if (wanted(request)) return request;
        }
    }

    private static string Config(string version, string outbound, int port) => JsonSerializer.Serialize(new
    {
        version,
        lds = new object[]
        {
            new
            {
                name = "outbound",
                address = Address(outbound.Split(':')[0], int.Parse(outbound.Split(':')[1], System.Globalization.CultureInfo.InvariantCulture)),
                traffic_direction = "OUTBOUND",
                filter_chains = new object[]
                {
                    new
                    {
                        filters = new object[]
                        {
                            new
                            {
                                name = "http",
                                typed_config = new Dictionary<string, object>(StringComparer.Ordinal)
                                {
                                    ["@type"] = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                                    ["stat_prefix"] = "outbound",
                                    ["rds"] = new { route_config_name = "svc-routes", config_source = new { ads = new { }, resource_api_version = "V3" } },
                                    ["http_filters"] = new object[]
                                    {
                                        new
                                        {
                                            name = "router",
                                            typed_config = new Dictionary<string, object>(StringComparer.Ordinal)
                                            {
                                                ["@type"] = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
                                            },
                                        },
                                    },
                                },
                            },
                        },
                    },
                },
            },
        },
        rds = new object[]
        {
            new
            {
                name = "svc-routes",
                virtual_hosts = new object[]
                {
                    new { name = "svc", domains = new[] { "svc.example" }, routes = new object[] { new { match = new { prefix = "/" }, route = new { cluster = "svc" } } } },
                },
            },
        },
        cds = new object[]
        {
            new
            {
                name = "svc",
                type = "EDS",
                connect_timeout = new { seconds = 5 },
                eds_cluster_config = new { eds_config = new { ads = new { }, resource_api_version = "V3" } },
            },
        },
        eds = new object[]
        {
            new
            {
                cluster_name = "svc",
                endpoints = new object[]
                {
                    new
                    {
                        locality = new { region = "r" },
                        load_balancing_weight = new { value = 1 },
                        lb_endpoints = new object[] { new { endpoint = new { address = Address("127.0.0.1", port) } } },
                    },
                },
            },
        },
    });

    private static object Address(string host, int port) => new { socket_address = new { address = host, port_value = port } };

    private sealed record Request(string? Type, string[]? Names, string? Version, string? Nonce, string? Error, string? Node);
}
