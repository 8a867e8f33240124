using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Mesh.Api.Operators;
using Microsoft.AspNetCore.Http;

namespace Mesh.Cli.Tests.Commands;

/// <summary>The commands that ask the operators' API, against an HTTP server that gives known answers.</summary>
public sealed class OperatorsCommandsTests : IAsyncLifetime
{
    private OperatorsServer _server = null!;

    public async Task InitializeAsync() => _server = await OperatorsServer.StartAsync();

    public async Task DisposeAsync() => await _server.DisposeAsync();

    [Fact]
    public async Task Edges_as_a_table()
    {
        Answer(OperatorsApi.Edges, OperatorsJson.Default.EdgeList, new EdgeList(10,
        [
            Edge("storefront", "", "catalog", "", new Traffic { Rps = 20.04, SuccessRate = 1, P50 = 0.5, P95 = 1.2, P99 = 123.4 }),
            Edge("cart", "unknown", "payments", "v2", new Traffic { Rps = 0.5, SuccessRate = 0.9 }),
            Edge("cart-v1", "v1", "payments-v2", "v2", new Traffic { Rps = 1, SuccessRate = 0 }) with
            {
                Secured = true,
                Source = new EdgeEnd("cart-v1", "default", "cart", "v1") { Identity = "spiffe://cluster.local/ns/default/sa/cart" },
                Destination = new EdgeEnd("payments-v2", "default", "payments", "v2") { Identity = "spiffe://cluster.local/ns/default/sa/payments" },
            },
        ]));

        var (code, output, error) = await RunAsync("edges", "--window", "30s");

        Assert.Equal(("", 0), (error, code));
        Assert.Equal(OperatorsApi.Edges + "?window=30s", Assert.Single(_server.Requests).Path);
        Assert.Equal(
            """
            SRC         DST          SRC_NS   DST_NS   SECURED  SUCCESS  RPS      P50     P95    P99    SRC_ID              DST_ID
            storefront  catalog      default  default  no       100.00%  20.0rps  0.50ms  1.2ms  123ms  -                   -
            cart        payments v2  default  default  no       90.00%   0.5rps   -       -      -      -                   -
            cart-v1     payments-v2  default  default  yes      0.00%    1.0rps   -       -      -      ns/default/sa/cart  ns/default/sa/payments

            """, output);
    }

    [Fact]
    public async Task Stat_as_a_table_with_dashes_for_what_was_not_seen()
    {
        Answer(OperatorsApi.Stat, OperatorsJson.Default.StatList, new StatList(10,
        [
            new ServiceTraffic { Name = "web", Namespace = "default", Meshed = 2, Total = 3, Traffic = new Traffic { Rps = 100, SuccessRate = 0.995, P50 = 1, P95 = 2, P99 = 30, TcpConnections = 4 } },
            new ServiceTraffic { Name = "db", Namespace = "data", Meshed = 0, Total = 1 },
        ]));

        var (_, output, _) = await RunAsync("stat");

        Assert.Equal(
            """
            NAME  NAMESPACE  MESHED  SUCCESS  RPS       LATENCY_P50  LATENCY_P95  LATENCY_P99  TCP_CONN
            web   default    2/3     99.50%   100.0rps  1.0ms        2.0ms        30.0ms       4
            db    data       0/1     -        -         -            -            -            0

            """, output);
    }

    [Fact]
    public async Task Services_as_a_table()
    {
        Answer(OperatorsApi.Services, OperatorsJson.Default.ServiceList, new ServiceList(
        [
            new ServiceStatus
            {
                Name = "payments",
                Namespace = "default",
                Host = "payments.default.svc.cluster.local",
                Source = "registry",
                Ports = [new(9090, "grpc", "grpc")],
                Endpoints =
                [
                    new() { Id = "a", Address = "127.0.0.1:1", Version = "v2", Health = "HEALTHY", Meshed = true },
                    new() { Id = "b", Address = "127.0.0.1:2", Version = "v1", Health = "UNHEALTHY" },
                ],
                Rules = ["HTTPRoute/split (rules/shop.yaml:3)"],
            },
        ]));

        var (_, output, _) = await RunAsync("services");

        Assert.Contains("payments  default    9090/grpc  1/2      1/2     v1,v2     registry  HTTPRoute/split (rules/shop.yaml:3)", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Nodes_tell_what_was_refused_and_why()
    {
        Answer(OperatorsApi.Nodes, OperatorsJson.Default.NodeList, new NodeList(
        [
            Node("good", new SubscriptionStatus { Type = "CDS", Sent = "1", Acked = "1" }),
            Node("slow", new SubscriptionStatus { Type = "EDS", Sent = "2", Acked = "1" }),
            Node("bad", new SubscriptionStatus { Type = "RDS", Sent = "2", Acked = "1", Nacked = "2", Error = "no such cluster" }),
            Node("new"),
        ]));

        var (_, output, _) = await RunAsync("nodes");

        Assert.Matches(@"(?m)^good .* in sync$", output);
        Assert.Matches(@"(?m)^slow .* waiting for EDS$", output);
        Assert.Matches(@"(?m)^bad .* REFUSED RDS$", output);
        Assert.Matches(@"(?m)^new .* nothing asked for$", output);
        Assert.Contains("bad refused RDS 2: no such cluster", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Config_dump_shows_where_resources_come_from()
    {
        var resource = JsonDocument.Parse("""{"virtual_hosts":[{"routes":[{"metadata":{"filter_metadata":{"mesh.source":{"location":"rules/shop.yaml:12"}}}}]}]}""").RootElement;
        Answer(OperatorsApi.Config, OperatorsJson.Default.ConfigDump, new ConfigDump(
            Node("a b"), [new ConfigResource { TypeUrl = Mesh.Api.Xds.TypeUrls.RouteConfiguration, Name = "outbound", Version = "77", Resource = resource }]));

        var (_, output, _) = await RunAsync("config", "dump", "a b");

        Assert.Equal(OperatorsApi.Config + "?node=a%20b", Assert.Single(_server.Requests).Path);
        Assert.Contains("RDS   outbound  77       rules/shop.yaml:12", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Json_is_what_the_api_gave_and_yaml_says_the_same()
    {
        Answer(OperatorsApi.Edges, OperatorsJson.Default.EdgeList, new EdgeList(10, [Edge("1", "true", "a: b", "", new Traffic { Rps = 1.5 })]));

        var (_, json, _) = await RunAsync("edges", "-o", "json");
        var (_, yaml, _) = await RunAsync("edges", "-o", "yaml");

        Assert.Equal(1.5, JsonDocument.Parse(json).RootElement.GetProperty("edges")[0].GetProperty("traffic").GetProperty("rps").GetDouble());
        Assert.Contains("workload: \"1\"", yaml, StringComparison.Ordinal);
        Assert.Contains("version: \"true\"", yaml, StringComparison.Ordinal);
        Assert.Contains("workload: \"a: b\"", yaml, StringComparison.Ordinal);
        Assert.Contains("rps: 1.5", yaml, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(404, """{"error":"no node 'x' is connected"}""", "meshctl: no node 'x' is connected\n")]
    [InlineData(404, "<html>", "does not know /api/nodes")]
    [InlineData(500, "", "answered 500")]
    [InlineData(200, "{", "not as a control plane of this version")]
    [InlineData(200, "null", "not as a control plane of this version")]
    public async Task Failures_are_one_line(int status, string body, string told)
    {
        _server.Answer(OperatorsApi.Nodes, http =>
        {
            http.Response.StatusCode = status;
            http.Response.ContentType = body.StartsWith('<') ? "text/html" : "application/json";
            return http.Response.WriteAsync(body);
        });

        var (code, output, error) = await RunAsync("nodes");

        Assert.Equal((1, ""), (code, output));
        Assert.Contains(told, error, StringComparison.Ordinal);
        Assert.Equal(1, error.Count(c => c == '\n'));
    }

    [Fact]
    public async Task No_control_plane_says_what_to_do()
    {
        var (code, _, error) = await Meshctl.RunAsync("nodes", "--control-plane", "127.0.0.1:1");

        Assert.Equal(1, code);
        Assert.Contains("Is mesh-control-plane running?", error, StringComparison.Ordinal);
        Assert.Equal(1, error.Count(c => c == '\n'));
    }

    [Theory]
    [InlineData("nodes", "--nope")]
    [InlineData("frobnicate")]
    [InlineData("config", "dump")]
    [InlineData("nodes", "-o", "xml")]
    [InlineData("run", "--service", "web")]
    [InlineData("run", "--port", "80", "--", "true")]
    [InlineData("run", "--service", "web", "--port", "0", "--", "true")]
    [InlineData("run", "--service", "web", "--port", "80:smtp", "--", "true")]
    [InlineData("run", "--service", "web", "--upstream", "db:9191", "--", "true")]
    [InlineData("run", "--service", "web", "--typo", "80", "--", "true")]
    [InlineData("nodes", "--control-plane", "ftp://x")]
    public async Task What_it_does_not_understand_it_refuses_with_2(params string[] arguments)
    {
        var (code, _, error) = await Meshctl.RunAsync(arguments);

        Assert.Equal(2, code);
        Assert.StartsWith("meshctl: ", error, StringComparison.Ordinal);
    }

    private Task<(int Code, string Output, string Error)> RunAsync(params string[] arguments) => _server.RunAsync(arguments);

    private void Answer<T>(string path, JsonTypeInfo<T> type, T answer) => _server.Answer(path, type, answer);

    private static EdgeTraffic Edge(string source, string sourceVersion, string destination, string version, Traffic traffic) => new()
    {
        Source = new EdgeEnd(source, "default", source, sourceVersion),
        Destination = new EdgeEnd(destination, "default", destination, version),
        Traffic = traffic,
    };

    private static NodeStatus Node(string id, params SubscriptionStatus[] subscriptions) => new()
    {
        Id = id,
        Service = id,
        ConnectedSince = DateTimeOffset.UtcNow,
        Subscriptions = subscriptions,
    };
}
