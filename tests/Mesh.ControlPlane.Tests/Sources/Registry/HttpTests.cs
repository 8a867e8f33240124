using System.Net;
using System.Net.Sockets;
using System.Text;
using Mesh.ControlPlane.Sources.Registry;
using Microsoft.Extensions.Logging.Abstractions;

namespace Mesh.ControlPlane.Tests.Sources.Registry;

/// <summary>What the differential test cannot ask: our own limits, refusals and ends.</summary>
public sealed class HttpTests
{
    [Theory]
    [InlineData("0.0.0.0")]
    [InlineData("::")]
    [InlineData("192.0.2.1")]
    public async Task It_does_not_listen_where_others_could_reach_it(string address)
    {
        var options = new RegistryOptions { Address = new IPEndPoint(IPAddress.Parse(address), 0) };
        var refused = await Assert.ThrowsAsync<ArgumentException>(() => BuiltInRegistry.StartAsync(options, TimeProvider.System, new Random(1), NullLoggerFactory.Instance));
        Assert.Contains("loopback only", refused.Message);
    }

    [Fact]
    public async Task A_taken_port_is_an_error_that_says_what_to_do()
    {
        using var taken = new TcpListener(IPAddress.Loopback, 0);
        taken.Start();
        var options = new RegistryOptions { Address = (IPEndPoint)taken.LocalEndpoint };
        var refused = await Assert.ThrowsAsync<IOException>(() => BuiltInRegistry.StartAsync(options, TimeProvider.System, new Random(1), NullLoggerFactory.Instance));
        Assert.Contains($"cannot listen on {taken.LocalEndpoint}", refused.Message);
        Assert.Contains("--registry", refused.Message);
    }

    [Theory]
    [InlineData("127.0.0.1", HttpStatusCode.OK)]
    [InlineData("localhost:8500", HttpStatusCode.OK)]
    [InlineData("[::1]:8500", HttpStatusCode.OK)]
    [InlineData("evil.example", HttpStatusCode.Forbidden)]
    [InlineData("127.0.0.1.evil.example", HttpStatusCode.Forbidden)]
    [InlineData("10.0.0.1", HttpStatusCode.Forbidden)]
    public async Task Only_loopback_names_reach_it(string host, HttpStatusCode status)
    {
        await using var registry = await StartedRegistry.StartAsync();
        using var request = new HttpRequestMessage(HttpMethod.Get, "/v1/status/leader") { Headers = { Host = host } };
        using var answer = await registry.Client.SendAsync(request);
        Assert.Equal(status, answer.StatusCode);
    }

    [Theory]
    [InlineData("/v1/agent/service/register", """{"Name":"a","Checks":[null]}""")]
    [InlineData("/v1/agent/service/register", """{"Name":"a","Tags":["b",null]}""")]
    [InlineData("/v1/txn", "[null]")]
    [InlineData("/v1/catalog/register", """{"Node":"n","Address":"10.0.0.1","Checks":[{"Name":"c"},null]}""")]
    public async Task A_null_in_a_list_is_refused_in_words(string path, string body)
    {
        await using var registry = await StartedRegistry.StartAsync();
        using var answer = await registry.SendAsync("PUT", path, body);
        Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
        Assert.Contains("null in an array", await answer.Content.ReadAsStringAsync());
    }

    [Theory]
    [InlineData("GET", "/v1/acl/tokens", null)]
    [InlineData("PUT", "/v1/config", "{}")]
    [InlineData("GET", "/v1/config/service-defaults", null)]
    [InlineData("GET", "/v1/connect/ca/roots", null)]
    [InlineData("GET", "/v1/health/connect/web", null)]
    [InlineData("GET", "/v1/query", null)]
    [InlineData("PUT", "/v1/agent/maintenance?enable=true", null)]
    [InlineData("GET", "/v1/health/service/web?filter=Service.Port==1", null)]
    [InlineData("PUT", "/v1/agent/service/register", """{"Name":"a","Connect":{"SidecarService":{}}}""")]
    [InlineData("PUT", "/v1/agent/service/register", """{"Name":"a","Connect":{"Native":true}}""")]
    [InlineData("PUT", "/v1/agent/service/register", """{"Name":"a","Kind":"connect-proxy"}""")]
    [InlineData("PUT", "/v1/agent/service/register", """{"Name":"a","Check":{"GRPC":"127.0.0.1:1","Interval":"1s"}}""")]
    [InlineData("PUT", "/v1/agent/check/register", """{"Name":"a","ScriptArgs":["ls"],"Interval":"1s"}""")]
    [InlineData("PUT", "/v1/catalog/register", """{"Node":"n","Address":"1.1.1.1","Service":{"Service":"a","Proxy":{"Mode":"direct"}}}""")]
    public async Task What_is_consuls_and_not_served_is_501_in_words(string method, string path, string? body)
    {
        await using var registry = await StartedRegistry.StartAsync();
        using var answer = await registry.SendAsync(method, path, body);
        Assert.Equal(HttpStatusCode.NotImplemented, answer.StatusCode);
        Assert.Contains("--consul", await answer.Content.ReadAsStringAsync());
        Assert.Equal("{}", await registry.DoAsync("GET", "/v1/agent/services"));
    }

    [Fact]
    public async Task Empty_forms_of_what_is_not_served_are_taken()
    {
        await using var registry = await StartedRegistry.StartAsync();
        await registry.DoAsync("PUT", "/v1/agent/service/register", """{"Name":"a","Kind":"","Connect":null,"Proxy":{"Mode":"","Expose":{},"Upstreams":[]},"Check":null,"Checks":null}""");
        Assert.True((await registry.GetAsync("/v1/agent/services")).TryGetProperty("a", out _));
    }

    [Theory]
    [InlineData("/v1/catalog/register", """{"Node":"x","Address":"1.1.1.1",""", "Request decode failed")]
    [InlineData("/v1/catalog/register", "null", "null")]
    [InlineData("/v1/catalog/register", """{"Node":"x"} trailing""", "Request decode failed")]
    [InlineData("/v1/catalog/register", """{"Node":"x","Service":{"Tags":{"a":1}}}""", "Tags")]
    [InlineData("/v1/agent/service/register", """{"Name":"a","Check":{"TTL":"10 parsecs"}}""", "10 parsecs")]
    [InlineData("/v1/agent/service/register", """{"Name":"a","Check":{"HTTP":"ftp://x","Interval":"1s"}}""", "ftp://x")]
    [InlineData("/v1/agent/service/register", """{"Name":"a","Weights":{"Passing":1,"Warning":-1}}""", "Warning")]
    [InlineData("/v1/session/create", """{"LockDelay":true}""", "duration")]
    [InlineData("/v1/txn", """[{"KV":{"Verb":"set","Key":"a","Flags":-1}}]""", "Flags")]
    [InlineData("/v1/kv/a?flags=-1", "x", "flags")]
    [InlineData("/v1/kv/a?cas=99999999999999999999999", "x", "cas")]
    public async Task Bad_input_is_400_and_names_what(string path, string body, string named)
    {
        await using var registry = await StartedRegistry.StartAsync();
        using var answer = await registry.SendAsync("PUT", path, body);
        Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
        Assert.Contains(named, await answer.Content.ReadAsStringAsync());
        Assert.Equal("{}", await registry.DoAsync("GET", "/v1/catalog/services"));
    }

    [Fact]
    public async Task Deep_json_is_refused_not_followed()
    {
        await using var registry = await StartedRegistry.StartAsync();
        var deep = new string('[', 100_000);
        using var answer = await registry.SendAsync("PUT", "/v1/agent/service/register", $$"""{"Name":"a","Proxy":{{deep}}""");
        Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
    }

    [Theory]
    [InlineData("/v1/catalog/register", 4 * 1024 * 1024)]
    [InlineData("/v1/kv/a", 512 * 1024)]
    public async Task A_body_over_the_limit_is_413(string path, int limit)
    {
        await using var registry = await StartedRegistry.StartAsync();
        using var body = new StringContent(new string('x', limit + 1));
        using var request = new HttpRequestMessage(HttpMethod.Put, path) { Content = body };
        request.Headers.ExpectContinue = true;
        using var answer = await registry.Client.SendAsync(request);
        Assert.Equal(HttpStatusCode.RequestEntityTooLarge, answer.StatusCode);
        Assert.Equal("{}", await registry.DoAsync("GET", "/v1/catalog/services"));
    }

    [Fact]
    public async Task There_are_at_most_so_many_blocking_queries()
    {
        await using var registry = await StartedRegistry.StartAsync(with: o => o with { MaxWaiters = 2 });
        var index = await registry.IndexAsync("/v1/catalog/services");
        var waiting = Enumerable.Range(0, 2).Select(_ => WaitAsync(registry, $"/v1/catalog/services?index={index}&wait=60s")).ToArray();
        HttpStatusCode status;
        do
        {
            using var third = await registry.SendAsync("GET", $"/v1/catalog/services?index={index}&wait=1ms");
            status = third.StatusCode;
        }
        while (status == HttpStatusCode.OK);
        Assert.Equal(HttpStatusCode.TooManyRequests, status);

        await registry.DoAsync("PUT", "/v1/catalog/register", """{"Node":"n","Address":"1.1.1.1","Service":{"Service":"a"}}""");
        Assert.All(await Task.WhenAll(waiting).WaitAsync(TimeSpan.FromSeconds(20)), answer => Assert.Equal(HttpStatusCode.OK, answer));
        await registry.DoAsync("GET", $"/v1/catalog/services?index={await registry.IndexAsync("/v1/catalog/services")}&wait=1ms");
    }

    /// <summary>Waits for a change; comes back when the probing request of the test had the last place for a moment.</summary>
    private static async Task<HttpStatusCode> WaitAsync(StartedRegistry registry, string path)
    {
        while (true)
        {
            using var answer = await registry.SendAsync("GET", path);
            if (answer.StatusCode != HttpStatusCode.TooManyRequests) return answer.StatusCode;
        }
    }

    [Fact]
    public async Task A_client_that_leaves_makes_room_for_another()
    {
        await using var registry = await StartedRegistry.StartAsync(with: o => o with { MaxWaiters = 1 });
        var index = await registry.IndexAsync("/v1/catalog/services");
        for (var i = 0; i < 5; i++)
        {
            using var leave = new CancellationTokenSource(TimeSpan.FromMilliseconds(50));
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => registry.Client.GetAsync($"/v1/catalog/services?index={index}&wait=60s", leave.Token));
            while (true)
            {
                using var next = await registry.SendAsync("GET", $"/v1/catalog/services?index={index}&wait=1ms");
                if (next.StatusCode == HttpStatusCode.OK) break;
            }
        }
    }

    [Fact]
    public async Task Stopping_answers_those_who_wait()
    {
        var registry = await StartedRegistry.StartAsync(with: o => o with { MaxWaiters = 1 });
        var index = await registry.IndexAsync("/v1/kv/a");
        using var client = new HttpClient { BaseAddress = registry.Client.BaseAddress };
        var waiting = FirstAsync();
        // It waits when there is no place for another.
        HttpStatusCode status;
        do
        {
            using var second = await registry.SendAsync("GET", $"/v1/kv/a?index={index}&wait=1ms");
            status = second.StatusCode;
        }
        while (status != HttpStatusCode.TooManyRequests);
        await registry.DisposeAsync();
        Assert.Equal(HttpStatusCode.NotFound, await waiting.WaitAsync(TimeSpan.FromSeconds(20)));

        async Task<HttpStatusCode> FirstAsync()
        {
            while (true)
            {
                using var answer = await client.GetAsync($"/v1/kv/a?index={index}&wait=5m");
                if (answer.StatusCode != HttpStatusCode.TooManyRequests) return answer.StatusCode;
            }
        }
    }

    [Fact]
    public async Task A_hash_blocks_until_the_service_changes()
    {
        await using var registry = await StartedRegistry.StartAsync();
        await registry.DoAsync("PUT", "/v1/agent/service/register", """{"Name":"a","Port":1}""");
        var hash = (await registry.GetAsync("/v1/agent/service/a")).GetProperty("ContentHash").GetString();
        Assert.Equal(hash, (await registry.GetAsync($"/v1/agent/service/a?hash={hash}&wait=50ms")).GetProperty("ContentHash").GetString());
        var waiting = registry.GetAsync($"/v1/agent/service/a?hash={hash}&wait=60s");
        await registry.DoAsync("PUT", "/v1/agent/service/register", """{"Name":"a","Port":2}""");
        Assert.Equal(2, (await waiting.WaitAsync(TimeSpan.FromSeconds(20))).GetProperty("Port").GetInt32());
    }

    [Fact]
    public async Task Tokens_are_ignored_and_pretty_is_only_another_form()
    {
        await using var registry = await StartedRegistry.StartAsync();
        using var request = new HttpRequestMessage(HttpMethod.Get, "/v1/agent/self?pretty&token=x") { Headers = { { "X-Consul-Token", "secret" } } };
        using var answer = await registry.Client.SendAsync(request);
        var text = await answer.Content.ReadAsStringAsync();
        Assert.Contains("\n", text);
        Assert.Contains("1.16.6", text);
        Assert.Equal("consul-test", (await registry.GetAsync("/v1/agent/self")).GetProperty("Config").GetProperty("NodeName").GetString());
    }

    [Fact]
    public async Task Without_a_data_folder_the_indexes_of_a_new_life_are_above_those_of_the_former()
    {
        ulong former;
        await using (var first = await StartedRegistry.StartAsync())
        {
            for (var i = 0; i < 10; i++) await first.DoAsync("PUT", $"/v1/kv/{i}", "x");
            former = await first.IndexAsync("/v1/kv/9");
        }

        await using var second = await StartedRegistry.StartAsync();
        await second.DoAsync("PUT", "/v1/kv/9", "x");
        Assert.True(await second.IndexAsync("/v1/kv/9") > former);
    }

    [Fact]
    public async Task Garbage_on_the_wire_is_answered_and_harms_nobody()
    {
        await using var registry = await StartedRegistry.StartAsync();
        foreach (var garbage in (string[])["\0\0\0\0\r\n\r\n", "GET /v1/kv/%zz%ff HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "PUT * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"])
        {
            using var socket = new TcpClient();
            await socket.ConnectAsync(IPAddress.Loopback, registry.Client.BaseAddress!.Port);
            await socket.GetStream().WriteAsync(Encoding.Latin1.GetBytes(garbage));
            using var reader = new StreamReader(socket.GetStream());
            var answer = await reader.ReadToEndAsync().WaitAsync(TimeSpan.FromSeconds(20));
            Assert.Matches("^HTTP/1.1 4", answer);
        }

        await registry.DoAsync("GET", "/v1/status/leader");
    }
}
