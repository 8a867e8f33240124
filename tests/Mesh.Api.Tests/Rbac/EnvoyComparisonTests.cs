using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Envoy.Config.Rbac.V3;
using Google.Protobuf;
using Mesh.Api.Rbac;
using Mesh.Tests;
using Xunit.Abstractions;

namespace Mesh.Api.Tests.Rbac;

/// <summary>A real Envoy and our engine decide alike, request by request, where a request has one reading; and name the same policy.</summary>
public sealed class EnvoyComparisonTests(ITestOutputHelper output)
{
    private const int Sets = 100;
    private const int RequestsEach = 20;

    [SkippableFact]
    public async Task Envoy_decides_as_the_engine_does()
    {
        var envoy = ExternalProgram.Require("envoy");
        var first = int.TryParse(Environment.GetEnvironmentVariable("MESH_SEED"), out var given) ? given : Environment.TickCount & 0xffffff;
        output.WriteLine($"seeds {first} to {first + Sets - 1} (MESH_SEED={first} repeats them)");
        var worlds = Enumerable.Range(first, Sets).Select(seed => new RandomRbac(seed, plain: true)).Select(random => (Random: random, Rules: random.Rules())).ToList();
        var port = FreePorts.One();
        using var folder = new TemporaryFolder();
        await File.WriteAllTextAsync(folder["envoy.json"], Bootstrap(port, worlds.Select(w => w.Rules)));
        await using var process = ChildProcess.Start(envoy, ["-c", folder["envoy.json"], "--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warn"]);
        using var client = await ConnectAsync(port, process);
        var (allowed, denied) = (0, 0);
        for (var set = 0; set < Sets; set++)
        {
            var problems = new List<string>();
            var engine = RbacEngine.Build(worlds[set].Rules, RbacLayer.Http, problems);
            Assert.True(engine is not null, string.Join('\n', problems));
            for (var i = 0; i < RequestsEach; i++)
            {
                var sent = worlds[set].Random.Request().Sent with { Port = port };
                var ours = sent.Of(engine);
                var (status, details) = await AskAsync(client, sent, set);
                var expected = ours.Allowed ? "200" : $"403 rbac_access_denied_matched_policy[{ours.Policy ?? "none"}]";
                Assert.True(expected == $"{status} {details}".Trim(), $"seed {first + set}: engine {expected}, Envoy {status} {details}\n{sent} {string.Join(' ', sent.Headers)}\n{worlds[set].Rules}");
                if (ours.Allowed) allowed++;
                else denied++;
            }
        }

        output.WriteLine($"{allowed} allowed, {denied} denied");
        Assert.True(allowed > 100 && denied > 100, $"{allowed} allowed, {denied} denied: the comparison says little");
    }

    /// <summary>One port; a header says by which of the rule sets a request is to be judged.</summary>
    private static string Bootstrap(int port, IEnumerable<RBAC> rules)
    {
        var routes = rules.Select((r, i) => $$$"""
            { "match": { "prefix": "/", "headers": [ { "name": "x-set", "string_match": { "exact": "{{{i}}}" } } ] }, "direct_response": { "status": 200 },
              "typed_per_filter_config": { "rbac": { "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute", "rbac": { "rules": {{{JsonFormatter.Default.Format(r)}}} } } } }
            """);
        return $$"""
            { "static_resources": { "listeners": [ { "name": "l", "address": { "socket_address": { "address": "127.0.0.1", "port_value": {{port}} } },
              "filter_chains": [ { "filters": [ { "name": "hcm", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "x",
                "local_reply_config": { "body_format": { "text_format_source": { "inline_string": "%RESPONSE_CODE_DETAILS%" } } },
                "http_filters": [ { "name": "rbac", "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC" } },
                  { "name": "router", "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" } } ],
                "route_config": { "name": "r", "virtual_hosts": [ { "name": "v", "domains": ["*"], "routes": [ {{string.Join(',', routes)}} ] } ] } } } ] } ] } ] } }
            """;
    }

    private static async Task<Socket> ConnectAsync(int port, ChildProcess process)
    {
        Socket? connected = null;
        await Eventually.PassesAsync(async () =>
        {
            process.MustRun();
            var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            await socket.ConnectAsync(IPAddress.Loopback, port);
            connected = socket;
        });
        return connected!;
    }

    private static async Task<(string Status, string Body)> AskAsync(Socket socket, Decision request, int set)
    {
        var head = new StringBuilder().Append(CultureInfo.InvariantCulture, $"{request.Method} {request.Target} HTTP/1.1\r\nHost: {request.Authority}\r\nx-set: {set}\r\n");
        foreach (var (name, value) in request.Headers) head.Append(CultureInfo.InvariantCulture, $"{name}: {value}\r\n");
        await socket.SendAsync(Encoding.ASCII.GetBytes(head.Append("Content-Length: 0\r\n\r\n").ToString()));
        var text = "";
        var buffer = new byte[4096];
        using var bound = new CancellationTokenSource(TimeSpan.FromSeconds(15));
        while (true)
        {
            var count = await socket.ReceiveAsync(buffer, bound.Token);
            Assert.True(count > 0, $"Envoy closed the connection: {text}");
            text += Encoding.Latin1.GetString(buffer, 0, count);
            var end = text.IndexOf("\r\n\r\n", StringComparison.Ordinal);
            if (end < 0) continue;
            var at = text.IndexOf("content-length: ", StringComparison.OrdinalIgnoreCase);
            var length = at < 0 || at > end ? 0 : int.Parse(text[(at + 16)..text.IndexOf('\r', at)], CultureInfo.InvariantCulture);
            if (text.Length >= end + 4 + length) return (text[9..12], text[9..12] == "200" ? "" : text.Substring(end + 4, length));
        }
    }
}
