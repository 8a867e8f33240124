using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Mesh.Sidecar.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests;

/// <summary>The program as a process: how it starts, reloads, drains and ends.</summary>
public sealed class LifeTests : IDisposable
{
    private static readonly HttpClient Http = new(new SocketsHttpHandler { UseProxy = false }) { Timeout = TimeSpan.FromSeconds(30) };
    private readonly TemporaryFolder folder = new();

    [Theory]
    [InlineData("--nonsense", 2, "mesh-sidecar: --nonsense: there is no such flag")]
    [InlineData("--static /no/such/file.yaml --admin 0 --metrics 0 --readiness 0", 1, "/no/such/file.yaml: cannot be read")]
    [InlineData("--control-plane http:// --admin 0 --metrics 0 --readiness 0 --outbound 0", 2, "mesh-sidecar: --control-plane: 'http://' is no gRPC address")]
    [InlineData("--control-plane 127.0.0.1:1", 2, "nothing to prove an identity with")]
    [InlineData("--control-plane 127.0.0.1:1 --token-file /no/such/token", 2, "/no/such/token")]
    [InlineData("--control-plane http://127.0.0.1:1 --token-file x", 2, "--token-file is about the identity")]
    [InlineData("--control-plane http://127.0.0.1:1 --admin 192.0.2.1:80 --metrics 0 --readiness 0 --outbound 0", 1, "192.0.2.1:80")]
    [InlineData("--control-plane http://127.0.0.1:1 --admin 0 --metrics 0 --readiness 0 --outbound 0 --ports-file /no/such/folder/p", 1, "/no/such/folder/p")]
    [InlineData("--version", 0, "mesh-sidecar 0.")]
    [InlineData("--help", 0, "--control-plane ADDR")]
    public async Task Says_what_is_wrong_and_ends(string line, int code, string expected)
    {
        await using var process = Run(line.Split(' '));
        Assert.Equal(code, await process.WaitAsync(30));
        Assert.Contains(expected, process.Output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--outbound")]
    [InlineData("--admin")]
    [InlineData("--readiness")]
    public async Task A_taken_port_is_one_clear_line_and_exit_1(string flag)
    {
        using var taken = new TcpListener(IPAddress.Loopback, 0);
        taken.Start();
        string[] ports = ["--outbound", "--admin", "--metrics", "--readiness"];
        await using var process = Run(["--control-plane", "http://127.0.0.1:1", .. ports.SelectMany(p => new[] { p, p == flag ? taken.LocalEndpoint.ToString()! : "127.0.0.1:0" })]);
        Assert.Equal(1, await process.WaitAsync(30));
        var line = Assert.Single(process.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.Contains(taken.LocalEndpoint.ToString()!, line, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_taken_port_of_a_static_listener_too()
    {
        using var taken = new TcpListener(IPAddress.Loopback, 0);
        taken.Start();
        await using var process = Run(["--static", Direct(((IPEndPoint)taken.LocalEndpoint).Port, "x"), "--admin", "0", "--metrics", "0", "--readiness", "0"]);
        Assert.Equal(1, await process.WaitAsync(30));
        Assert.Contains($"web: cannot listen on {taken.LocalEndpoint}: the port is taken", process.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_changed_file_serves_and_a_bad_one_does_not()
    {
        var port = FreePorts.One();
        await using var process = Static(Direct(port, "one"));
        await Eventually.PassesAsync(async () => Assert.Equal("one", await Http.GetStringAsync($"http://127.0.0.1:{port}/")));
        Direct(port, "number two");
        await Eventually.PassesAsync(async () => Assert.Equal("number two", await Http.GetStringAsync($"http://127.0.0.1:{port}/")));
        await File.WriteAllTextAsync(folder["static.yaml"], "static_resources: {listeners: [{name: web, nonsense: 1}]}");
        await Eventually.TrueAsync(() => process.Output.Contains("the last good one serves on", StringComparison.Ordinal), () => process.Output);
        Assert.Contains("static.yaml:1: envoy.config.listener.v3.Listener has no field", process.Output, StringComparison.Ordinal);
        Assert.Equal("number two", await Http.GetStringAsync($"http://127.0.0.1:{port}/"));
        Assert.Equal(0, await process.StopAsync());
    }

    [Theory]
    [InlineData(true)]
    [LongInlineData(false)]
    public async Task A_file_of_a_hundred_thousand_routes_is_read_or_refused_in_bounded_time(bool sound)
    {
        var port = FreePorts.One();
        var path = Direct(port, "first");
        var text = await File.ReadAllTextAsync(path);
        const string Route = "routes: [";
        var at = text.IndexOf(Route, StringComparison.Ordinal) + Route.Length;
        var many = string.Concat(Enumerable.Range(0, 100_000).Select(i => $"{{match: {{{(sound ? "path" : "paht")}: /{i}}}, direct_response: {{status: 204}}}},\n                  "));
        await File.WriteAllTextAsync(path, text[..at] + many + text[at..]);
        var watch = System.Diagnostics.Stopwatch.StartNew();
        await using var process = Static(path);
        if (sound)
        {
            await Eventually.PassesAsync(async () => Assert.Equal("first", await Http.GetStringAsync($"http://127.0.0.1:{port}/x")), seconds: 60);
            Assert.Equal(0, await process.StopAsync());
        }
        else
        {
            Assert.Equal(1, await process.WaitAsync(60));
            Assert.True(process.Output.Split('\n').Length is > 10 and < 200, process.Output);
            Assert.DoesNotContain("   at ", process.Output, StringComparison.Ordinal);
        }

        Assert.True(watch.Elapsed < TimeSpan.FromSeconds(60), $"after {watch.Elapsed}: {process.Output}");
    }

    /// <summary>In a debug build, as tests have it: 2,000 connections that had one request each and wait for the next.</summary>
    [Fact]
    public async Task Two_thousand_idle_connections_cost_at_most_32_KiB_each_and_do_not_disturb()
    {
        const int Many = 2000;
        const int Most = 32; // measured: 18.5
        var port = FreePorts.One();
        await using var process = Static(Direct(port, "hello"));
        await PortsAsync();
        var to = new IPEndPoint(IPAddress.Loopback, port);
        for (var i = 0; i < 200; i++) Assert.Equal("hello", await Http.GetStringAsync($"http://{to}/"));
        var alone = await HundredAsync();
        var before = ResidentKiB(process.Id);
        var idle = new List<RawClient>();
        try
        {
            for (var i = 0; i < Many; i++)
            {
                var client = await RawClient.ConnectAsync(to);
                idle.Add(client);
                await client.SendAsync("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
                Assert.Equal("hello", (await client.ReadAnswerAsync())!.Body);
            }

            var each = (ResidentKiB(process.Id) - before) / (double)Many;
            Assert.True(each < Most, $"{each:F1} KiB each");
            var among = await HundredAsync();
            Assert.True(among < TimeSpan.FromSeconds(5) + (10 * alone), $"100 requests took {among}, and {alone} before");
            await idle[0].SendAsync("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
            Assert.Equal("hello", (await idle[0].ReadAnswerAsync())!.Body);
        }
        finally
        {
            foreach (var client in idle) client.Dispose();
        }

        Assert.Equal(0, await process.StopAsync());

        async Task<TimeSpan> HundredAsync()
        {
            var watch = System.Diagnostics.Stopwatch.StartNew();
            for (var i = 0; i < 100; i++) Assert.Equal("hello", await Http.GetStringAsync($"http://{to}/"));
            return watch.Elapsed;
        }
    }

    [Fact]
    public async Task A_signal_lets_the_request_finish_and_readiness_says_so()
    {
        var release = new TaskCompletionSource();
        await using var origin = new RecordingOrigin(async c =>
        {
            if (await c.ReadRequestAsync() is null) return;
            await release.Task;
            await c.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate");
        });
        var port = FreePorts.One();
        await using var process = Static(Forwarding(port, origin.Address.Port));
        var ports = await PortsAsync();
        await Eventually.PassesAsync(async () => Assert.Equal("LIVE\n", await Http.GetStringAsync($"http://{ports["readiness"]}/healthz/ready")));
        var answer = Http.GetStringAsync($"http://127.0.0.1:{port}/");
        await Eventually.TrueAsync(() => origin.Requests.Any());
        process.Signal(ChildProcess.SigTerm);
        await Eventually.PassesAsync(async () =>
        {
            using var readiness = await Http.GetAsync($"http://{ports["readiness"]}/healthz/ready");
            Assert.Equal((HttpStatusCode.ServiceUnavailable, "DRAINING: stopping: SIGTERM\n"), (readiness.StatusCode, await readiness.Content.ReadAsStringAsync()));
        });
        release.SetResult();
        Assert.Equal("late", await answer);
        Assert.Equal(0, await process.WaitAsync(30));
    }

    [Fact]
    public async Task The_drain_time_bounds_the_stop()
    {
        await using var origin = new RecordingOrigin(async c =>
        {
            await c.ReadRequestAsync();
            await Task.Delay(Timeout.Infinite);
        });
        var port = FreePorts.One();
        await using var process = Static(Forwarding(port, origin.Address.Port), "--drain-time", "1");
        await StuckAsync(origin, port);
        Assert.Equal(0, await process.StopAsync(seconds: 20));
    }

    [Fact]
    public async Task An_inbound_stream_that_never_ends_leaves_outbound_requests_their_time()
    {
        var release = new TaskCompletionSource();
        await using var stuck = new RecordingOrigin(async c =>
        {
            await c.ReadRequestAsync();
            await Task.Delay(Timeout.Infinite);
        });
        await using var late = new RecordingOrigin(async c =>
        {
            await c.ReadRequestAsync();
            await release.Task;
            await c.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate");
        });
        var (inbound, outbound) = (FreePorts.One(), FreePorts.One());
        await using var process = Static(BothWays((inbound, stuck.Address.Port), (outbound, late.Address.Port)), "--drain-time", "8");
        await PortsAsync();
        using var endless = await RawClient.ConnectAsync(new IPEndPoint(IPAddress.Loopback, inbound));
        await endless.SendAsync("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
        var answer = Http.GetStringAsync($"http://127.0.0.1:{outbound}/");
        await Eventually.TrueAsync(() => stuck.Requests.Any() && late.Requests.Any());
        process.Signal(ChildProcess.SigTerm);
        await endless.ReadToEndAsync();
        release.SetResult();
        Assert.Equal("late", await answer);
        Assert.Equal(0, await process.WaitAsync(20));
    }

    [Fact]
    public async Task The_second_signal_ends_it_at_once()
    {
        await using var origin = new RecordingOrigin(async c =>
        {
            await c.ReadRequestAsync();
            await Task.Delay(Timeout.Infinite);
        });
        var port = FreePorts.One();
        await using var process = Static(Forwarding(port, origin.Address.Port), "--drain-time", "600");
        await StuckAsync(origin, port);
        process.Signal(ChildProcess.SigTerm);
        await Eventually.TrueAsync(() => process.Output.Contains("stopping", StringComparison.Ordinal));
        process.Signal(ChildProcess.SigTerm);
        Assert.Equal(130, await process.WaitAsync(20));
    }

    [Fact]
    public async Task Quitquitquit_ends_it()
    {
        await using var process = Static(Direct(FreePorts.One(), "x"));
        var ports = await PortsAsync();
        using var answer = await Http.PostAsync($"http://{ports["admin"]}/quitquitquit", null);
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        Assert.Equal(0, await process.WaitAsync(30));
    }

    [Fact]
    public async Task Without_a_control_plane_readiness_says_so_and_the_ports_are_known()
    {
        await using var process = Run(["--control-plane", "http://127.0.0.1:1", "--service", "web", "--port", "8080", "--upstream", "db=127.0.0.1:0", "--outbound", "0", "--admin", "0",
            "--metrics", "0", "--readiness", "0", "--ports-file", folder["ports.json"]]);
        var ports = await PortsAsync();
        Assert.All(new[] { "outbound", "admin", "metrics", "readiness" }, p => Assert.NotEqual(0, IPEndPoint.Parse(ports[p].GetString()!).Port));
        Assert.NotEqual(0, IPEndPoint.Parse(ports["inbound"].GetProperty("8080").GetString()!).Port);
        Assert.NotEqual(0, IPEndPoint.Parse(ports["upstreams"].GetProperty("db").GetString()!).Port);
        await Eventually.PassesAsync(async () =>
        {
            using var readiness = await Http.GetAsync($"http://{ports["readiness"]}/ready");
            Assert.Contains("no configuration from the control plane http://127.0.0.1:1", await readiness.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        });
        Assert.Equal(0, await process.StopAsync());
    }

    public void Dispose() => folder.Dispose();

    /// <summary>Leaves a request on its way that is never answered.</summary>
    private async Task StuckAsync(RecordingOrigin origin, int port)
    {
        await PortsAsync();
        _ = Http.GetAsync($"http://127.0.0.1:{port}/").ContinueWith(t => _ = t.Exception, TaskScheduler.Default);
        await Eventually.TrueAsync(() => origin.Requests.Any());
    }

    private static long ResidentKiB(int process)
    {
        var line = File.ReadLines($"/proc/{process}/status").First(l => l.StartsWith("VmRSS:", StringComparison.Ordinal));
        return long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], System.Globalization.CultureInfo.InvariantCulture);
    }

    private static ChildProcess Run(string[] args) => ChildProcess.Start(Path.Combine(AppContext.BaseDirectory, "mesh-sidecar"), args);

    private ChildProcess Static(string file, params string[] more) =>
        Run(["--static", file, "--admin", "0", "--metrics", "0", "--readiness", "0", "--ports-file", folder["ports.json"], .. more]);

    private async Task<Dictionary<string, JsonElement>> PortsAsync()
    {
        await Eventually.TrueAsync(() => File.Exists(folder["ports.json"]));
        return JsonSerializer.Deserialize<Dictionary<string, JsonElement>>(await File.ReadAllTextAsync(folder["ports.json"]))!;
    }

    private string Direct(int port, string body) => Write(port, $"direct_response: {{status: 200, body: {{inline_string: {body}}}}}", "");

    private string Forwarding(int port, int origin) => Write(port, "route: {cluster: c}", $$"""
          clusters:
          - name: c
            load_assignment: {endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: {{origin}}} } } }]}]}
        """);

    /// <summary>An inbound and an outbound listener, each port with the origin behind it.</summary>
    private string BothWays(params (int Port, int Origin)[] ways)
    {
        string[] directions = ["INBOUND", "OUTBOUND"];
        var listeners = ways.Select((w, i) => $$"""
              - name: {{directions[i]}}
                traffic_direction: {{directions[i]}}
                address: {socket_address: {address: 127.0.0.1, port_value: {{w.Port}}} }
                filter_chains: [{filters: [{name: hcm, typed_config: { {{Config.Yaml.Hcm}}, {{Config.Yaml.Router}}, route_config: {virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: c{{i}} } }]}]} } }]}]
            """);
        var clusters = ways.Select((w, i) => $$"""
              - name: c{{i}}
                load_assignment: {endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: {{w.Origin}}} } } }]}]}
            """);
        File.WriteAllText(folder["static.yaml"], $"static_resources:\n  listeners:\n{string.Join('\n', listeners)}\n  clusters:\n{string.Join('\n', clusters)}\n");
        return folder["static.yaml"];
    }

    private string Write(int port, string action, string clusters)
    {
        var hcm = $"{{{Config.Yaml.Hcm}, {Config.Yaml.Router}, route_config: {{virtual_hosts: [{{name: v, domains: ['*'], routes: [{{match: {{prefix: /}}, {action}}}]}}]}}}}";
        var temporary = folder["static.tmp"];
        File.WriteAllText(temporary, $"""
            static_resources:
              listeners:
              - name: web
                address: {"{socket_address: {address: 127.0.0.1, port_value: " + port + "}}"}
                filter_chains: [{"{filters: [{name: hcm, typed_config: " + hcm + "}]}"}]
            {clusters}
            """);
        File.Move(temporary, folder["static.yaml"], overwrite: true);
        return folder["static.yaml"];
    }
}
