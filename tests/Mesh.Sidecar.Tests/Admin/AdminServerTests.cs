using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Envoy.Config.Core.V3;
using Envoy.Extensions.TransportSockets.Tls.V3;
using Mesh.Api.Logging;
using Mesh.Sidecar.Admin;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Telemetry;
using Mesh.Sidecar.Tests.Telemetry;

namespace Mesh.Sidecar.Tests.Admin;

public sealed class AdminServerTests : IAsyncLifetime
{
    private readonly Snapshots snapshots = new();
    private readonly TelemetrySink sink = TelemetrySink.Plain(TimeProvider.System);
    private readonly Log log = Log.To(TextWriter.Null, Level.Info, TimeProvider.System);
    private readonly TaskCompletionSource quit = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly HttpClient client = new();
    private readonly List<AcceptedResource> accepted =
    [
        new("type.googleapis.com/envoy.config.cluster.v3.Cluster", "a", "7", new Envoy.Config.Cluster.V3.Cluster { Name = "a" }),
        new("type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret", "default", "1",
            new Envoy.Config.Cluster.V3.Cluster { Name = "private-key" }),
    ];
    private Readiness readiness = Readiness.Waiting("no configuration from the control plane yet");
    private AdminServer server = null!;
    private readonly TaskCompletionSource drained = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int drains;
    private int renewals;
    private (string? Serial, string Problem) renewal = ("0a1b", "");

    public async Task InitializeAsync()
    {
        sink.Request(Samples.Request(TimeProvider.System));
        snapshots.Publish(new Snapshot { Number = 3, Clusters = [Samples.Cluster()] });
        var free = new IPEndPoint(IPAddress.Loopback, 0);
        server = new AdminServer(new AdminAddresses(free, free, free), new AdminSources
        {
            Snapshots = snapshots,
            Metrics = new Exposition(sink.Traffic, sink.Own),
            Own = sink.Own,
            Log = log,
            Time = TimeProvider.System,
            Readiness = () => readiness,
            Accepted = () => accepted,
            Verdicts = () => [new("inbound", "inbound|3306||", "10.0.0.1:3306", new DateTimeOffset(2031, 2, 3, 4, 5, 6, TimeSpan.Zero))],
            Quit = () => quit.TrySetResult(),
            RenewCertificate = _ =>
            {
                renewals++;
                return Task.FromResult(renewal);
            },
            DrainListeners = () =>
            {
                drains++;
                return drained.Task;
            },
        });
        await server.StartAsync(CancellationToken.None);
    }

    public async Task DisposeAsync()
    {
        await server.DisposeAsync();
        client.Dispose();
    }

    [Fact]
    public async Task DetectionShowsWhereServersSpeakFirst()
    {
        Assert.Equal("inbound::inbound|3306||::10.0.0.1:3306::server_speaks_first::until 2031-02-03T04:05:06Z\n", await client.GetStringAsync(At(server.Bound.Admin!, "/detection")));
        var shown = await client.GetFromJsonAsync<JsonElement>(At(server.Bound.Admin!, "/detection?format=json"));
        Assert.Equal("inbound|3306||", shown.GetProperty("server_speaks_first")[0].GetProperty("cluster").GetString());
    }

    [Fact]
    public async Task Readiness_says_why_not()
    {
        foreach (var path in (string[])["/healthz/ready", "/ready"])
        {
            readiness = Readiness.Waiting("no configuration from the control plane yet");
            var waiting = await client.GetAsync(At(server.Bound.Readiness!, path));
            Assert.Equal(HttpStatusCode.ServiceUnavailable, waiting.StatusCode);
            Assert.Equal("PRE_INITIALIZING: no configuration from the control plane yet\n", await waiting.Content.ReadAsStringAsync());
            readiness = Readiness.Live;
            Assert.Equal("LIVE\n", await client.GetStringAsync(At(server.Bound.Readiness!, path)));
        }
    }

    [Fact]
    public async Task A_stop_hook_may_wait_until_all_is_drained()
    {
        var waiting = PostAsync("/drain_listeners?wait");
        Assert.Equal("OK\n", await PostAsync("/drain_listeners")); // The second asks later and is answered first.
        Assert.False(waiting.IsCompleted);

        drained.SetResult();

        Assert.Equal("OK\n", await waiting);
    }

    [Theory]
    [InlineData("/metrics")]
    [InlineData("/stats/prometheus")]
    public async Task The_metrics_port_shows_metrics_and_nothing_that_changes(string path)
    {
        var answer = await client.GetAsync(At(server.Bound.Metrics!, path));
        Assert.Equal("text/plain; version=0.0.4; charset=utf-8", answer.Content.Headers.ContentType!.ToString());
        Assert.Contains("istio_requests_total{", await answer.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        Assert.Equal(HttpStatusCode.NotFound, (await client.GetAsync(At(server.Bound.Metrics!, "/config_dump"))).StatusCode);
        Assert.Equal(HttpStatusCode.MethodNotAllowed, (await client.PostAsync(At(server.Bound.Metrics!, "/quitquitquit"), null)).StatusCode);
        Assert.False(quit.Task.IsCompleted);
    }

    [Theory]
    [InlineData("/", "/config_dump")]
    [InlineData("/help", "/quitquitquit (POST)")]
    [InlineData("/server_info", "\"version\": \"mesh-sidecar/")]
    [InlineData("/clusters", "outbound|80||cart.shop.svc.cluster.local::10.0.0.7:4000::health_flags::healthy\n")]
    [InlineData("/stats", "mesh_sidecar_retries_total: 0\n")]
    [InlineData("/stats/prometheus", "istio_requests_total{")]
    [InlineData("/stats?format=prometheus", "istio_requests_total{")]
    [InlineData("/certs", "certificates")]
    [InlineData("/memory", "heap_size")]
    [InlineData("/listeners?format=json", "listener_statuses")]
    public async Task A_page_shows(string path, string expected) =>
        Assert.Contains(expected, await client.GetStringAsync(At(server.Bound.Admin!, path)), StringComparison.Ordinal);

    [Theory]
    [InlineData("/quitquitquit")]
    [InlineData("/drain_listeners")]
    [InlineData("/certs/renew")]
    [InlineData("/logging?level=debug")]
    public async Task A_get_changes_nothing(string path)
    {
        var answer = await client.GetAsync(At(server.Bound.Admin!, path));
        Assert.Equal(HttpStatusCode.MethodNotAllowed, answer.StatusCode);
        Assert.Contains("needs POST", await answer.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        Assert.Equal((false, 0, 0, Level.Info), (quit.Task.IsCompleted, drains, renewals, log.Least));
    }

    [Fact]
    public async Task A_post_changes()
    {
        Assert.Equal("level: debug\n", await PostAsync("/logging?level=debug"));
        Assert.Equal(Level.Debug, log.Least);
        Assert.Equal("level is one of debug, info, warn, error\n", await PostAsync("/logging?level=loud"));
        Assert.Equal("OK\n", await PostAsync("/drain_listeners?graceful"));
        Assert.Equal(1, drains);
        Assert.Equal("renewed: serial 0a1b\n", await PostAsync("/certs/renew"));
        renewal = (null, "the control plane does not answer");
        Assert.Equal("the control plane does not answer\n", await PostAsync("/certs/renew"));
        Assert.Equal(2, renewals);
        Assert.Equal("OK\n", await PostAsync("/quitquitquit"));
        await quit.Task.WaitAsync(TimeSpan.FromSeconds(10));
    }

    [Theory]
    [InlineData("evil.example", null, 403)]
    [InlineData("127.0.0.1:15000", "http://evil.example", 403)]
    [InlineData("localhost:15000", null, 200)]
    [InlineData("[::1]:15000", null, 200)]
    [InlineData("10.1.2.3", null, 200)]
    public async Task Names_and_pages_of_others_get_nothing(string host, string? origin, int expected)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, At(server.Bound.Admin!, "/drain_listeners")) { Headers = { Host = host } };
        if (origin is not null) request.Headers.Add("Origin", origin);
        Assert.Equal(expected, (int)(await client.SendAsync(request)).StatusCode);
        Assert.Equal(expected == 200 ? 1 : 0, drains);
    }

    [Fact]
    public async Task The_config_dump_shows_resources_with_versions_and_no_secret()
    {
        var text = await client.GetStringAsync(At(server.Bound.Admin!, "/config_dump"));
        using var json = JsonDocument.Parse(text);
        var clusters = json.RootElement.GetProperty("configs").EnumerateArray()
            .Single(c => c.GetProperty("@type").GetString() == "type.googleapis.com/envoy.admin.v3.ClustersConfigDump");
        var entry = Assert.Single(clusters.GetProperty("dynamic_active_clusters").EnumerateArray());
        Assert.Equal(("7", "a"), (entry.GetProperty("version_info").GetString(), entry.GetProperty("cluster").GetProperty("name").GetString()));
        Assert.DoesNotContain("private-key", text, StringComparison.Ordinal);
        Assert.Contains("\"default\"", text, StringComparison.Ordinal);
        Assert.Equal(HttpStatusCode.BadRequest, (await client.GetAsync(At(server.Bound.Admin!, "/config_dump?name_regex=("))).StatusCode);
        Assert.DoesNotContain("\"a\"", await client.GetStringAsync(At(server.Bound.Admin!, "/config_dump?name_regex=zzz")), StringComparison.Ordinal);
    }

    /// <summary>A file of the operator may hold keys, inside of the messages of a transport socket.</summary>
    [Fact]
    public async Task The_config_dump_leaves_out_keys_wherever_they_stand()
    {
        var common = new CommonTlsContext
        {
            TlsCertificates =
            {
                new TlsCertificate { CertificateChain = new DataSource { InlineString = "the chain" }, PrivateKey = new DataSource { InlineString = "the key" } },
                new TlsCertificate { PrivateKey = new DataSource { InlineBytes = Google.Protobuf.ByteString.CopyFromUtf8("the key") } },
                new TlsCertificate { PrivateKey = new DataSource { Filename = "/etc/key.pem" } },
            },
        };
        var chain = new Envoy.Config.Listener.V3.FilterChain
        {
            TransportSocket = new TransportSocket { Name = "tls", TypedConfig = Google.Protobuf.WellKnownTypes.Any.Pack(new DownstreamTlsContext { CommonTlsContext = common }) },
        };
        accepted.Add(new("type.googleapis.com/envoy.config.listener.v3.Listener", "l", "1", new Envoy.Config.Listener.V3.Listener { Name = "l", FilterChains = { chain } }));
        var text = await client.GetStringAsync(At(server.Bound.Admin!, "/config_dump"));
        Assert.Contains("the chain", text, StringComparison.Ordinal);
        Assert.Contains("/etc/key.pem", text, StringComparison.Ordinal);
        Assert.DoesNotContain("the key", text, StringComparison.Ordinal);
        Assert.DoesNotContain(Convert.ToBase64String("the key"u8), text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_ejected_endpoint_shows()
    {
        snapshots.Current.Clusters[0].Endpoints[0].Stats.EjectedUntil = long.MaxValue;
        var json = await client.GetFromJsonAsync<JsonElement>(At(server.Bound.Admin!, "/clusters?format=json"));
        var host = json.GetProperty("cluster_statuses")[0].GetProperty("host_statuses")[0];
        Assert.True(host.GetProperty("health_status").GetProperty("failed_outlier_check").GetBoolean());
        Assert.Equal("10.0.0.7", host.GetProperty("address").GetProperty("socket_address").GetProperty("address").GetString());
    }

    private static Uri At(IPEndPoint address, string path) => new($"http://{address}{path}");

    private async Task<string> PostAsync(string path)
    {
        using var answer = await client.PostAsync(At(server.Bound.Admin!, path), null);
        return await answer.Content.ReadAsStringAsync();
    }
}
