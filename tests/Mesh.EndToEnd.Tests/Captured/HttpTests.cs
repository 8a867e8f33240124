using System.Text;
using Mesh.EndToEnd.Tests.Testbed.Network;
using static Mesh.EndToEnd.Tests.Captured.ProtocolNetwork;

namespace Mesh.EndToEnd.Tests.Captured;

/// <summary>HTTP of every kind through capture and mutual TLS, with clients and servers that know nothing of it; declared ports and ports that declare nothing.</summary>
[Collection(ProtocolMachines.Group)]
public sealed class HttpTests(ProtocolMachines machines)
{
    [SkippableTheory]
    [InlineData(8080)]
    [InlineData(8081)]
    public Task Requests_of_curl(int port) => machines.RunOnEachAsync("web", async (network, address) =>
    {
        var (client, url) = (network.Client.Host, $"http://{InUrl(address)}:{port}");
        Assert.Matches("^app GET /old from .* HTTP/1.[01]\n200$", (await client.CurlAsync("--http1.0", $"{url}/old")).Output);
        Assert.Matches("^app GET /new from .* HTTP/1.1\n200$", (await client.CurlAsync($"{url}/new")).Output);
        Assert.Contains("URI=spiffe://cluster.local/ns/default/sa/client", (await client.CurlAsync($"{url}/?headers")).Body, StringComparison.Ordinal);
        Assert.Equal("sent in chunks\n200", (await client.CurlAsync("-H", "Transfer-Encoding: chunked", "--data-binary", "sent in chunks", $"{url}/")).Output);
        Assert.Equal("waited\n200", (await client.CurlAsync("-H", "Expect: 100-continue", "--expect100-timeout", "10", "--data-binary", "waited", $"{url}/")).Output);
        Assert.Matches("(?s)^HTTP/1.1 200 OK.*content-length: [1-9][0-9]*.*\n200$", (await client.CurlAsync("-I", $"{url}/")).Output.ToLowerInvariant().Replace("http/1.1 200 ok", "HTTP/1.1 200 OK", StringComparison.Ordinal));
        Assert.Equal("\n304", (await client.CurlAsync($"{url}/?status=304")).Output);
        Assert.Equal("\n204", (await client.CurlAsync($"{url}/?status=204")).Output);
        Assert.Equal("3000000\n200", (await client.CurlAsync("-o", "/dev/null", "-w", "%{size_download}\n%{http_code}", $"{url}/?size=3000000")).Output);
        Assert.Equal("data: 0\n\ndata: 1\n\ndata: 2\n\n\n200", (await client.CurlAsync("-N", $"{url}/?events=3")).Output);
    });

    [SkippableTheory]
    [InlineData(8080)]
    [InlineData(8081)]
    public Task Pipelined_requests_are_answered_in_order(int port) => machines.RunOnEachAsync("web", async (network, address) =>
    {
        using var socket = await network.Client.Host.ConnectAsync(address, port);
        var requests = string.Concat(Enumerable.Range(0, 20).Select(i => $"GET /{i} HTTP/1.1\r\nHost: any\r\n{(i == 19 ? "Connection: close\r\n" : "")}\r\n"));
        await socket.SendAsync(Encoding.ASCII.GetBytes(requests));
        var answers = await Wire.ReadToEndAsync(socket);
        Assert.Equal(Enumerable.Range(0, 20).Select(i => $"app GET /{i} "), System.Text.RegularExpressions.Regex.Matches(answers, "app GET /[0-9]+ ").Select(m => m.Value));
    });

    [SkippableTheory]
    [InlineData(8080)]
    [InlineData(8081)]
    public Task A_request_in_fragments_is_a_request(int port) => machines.RunOnEachAsync("web", async (network, address) =>
    {
        using var socket = await network.Client.Host.ConnectAsync(address, port);
        foreach (var part in (string[])["G", "ET", " /slow", "ly HTTP/1.1\r", "\nHost: any\r\nConnection: close\r\n", "\r\n"])
        {
            await socket.SendAsync(Encoding.ASCII.GetBytes(part));
            await Task.Delay(5); // A segment each.
        }

        Assert.Contains("app GET /slowly ", await Wire.ReadToEndAsync(socket), StringComparison.Ordinal);
    });

    [SkippableFact]
    public Task A_foreign_proxy_is_spoken_to_as_it_is() => machines.RunAsync(async network =>
    {
        await network.Outside.ServeAsync("serving", CapturedShop.Python, CapturedMesh.Script("app.py"), "far", "8080");
        var proxy = await network.Outside.ServeAsync("serving", CapturedShop.Python, CapturedMesh.Script("proxy.py"), "3128");
        foreach (var outside in (string[])[network.Outside.Address, network.Outside.Address6])
        {
            var at = InUrl(outside);
            var asked = await network.Client.Host.CurlAsync("-x", $"http://{at}:3128", $"http://{at}:8080/?headers");
            Assert.True(asked.Status == "200" && asked.Body.Contains("via: 1.1 foreign", StringComparison.Ordinal) && !asked.Body.Contains("x-request-id", StringComparison.Ordinal), $"{outside}: {asked.All}\nthe proxy: {proxy.Output}");
            Assert.Contains($"GET http://{at}:8080/?headers HTTP/1.1", proxy.Output, StringComparison.Ordinal);
            var tunnelled = await network.Client.Host.CurlAsync("-p", "-x", $"http://{at}:3128", $"http://{at}:8080/deep");
            Assert.StartsWith("far GET /deep", tunnelled.Body, StringComparison.Ordinal);
            Assert.Contains($"CONNECT {at}:8080 HTTP/1.1", proxy.Output, StringComparison.Ordinal);
        }
    });
}
