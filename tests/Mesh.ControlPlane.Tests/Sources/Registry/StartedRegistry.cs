using System.Net;
using System.Text;
using System.Text.Json;
using Mesh.ControlPlane.Sources.Registry;
using Microsoft.Extensions.Logging.Abstractions;

namespace Mesh.ControlPlane.Tests.Sources.Registry;

/// <summary>A really started built-in registry on a free port, with a client. For one test.</summary>
internal sealed class StartedRegistry : IAsyncDisposable
{
    private readonly BuiltInRegistry registry;

    private StartedRegistry(BuiltInRegistry registry)
    {
        this.registry = registry;
        Client = new HttpClient { BaseAddress = registry.Url, Timeout = TimeSpan.FromMinutes(2) };
    }

    public HttpClient Client { get; }

    public static async Task<StartedRegistry> StartAsync(string? data = null, TimeProvider? time = null, Func<RegistryOptions, RegistryOptions>? with = null)
    {
        var options = new RegistryOptions { Address = new IPEndPoint(IPAddress.Loopback, 0), DataFolder = data, NodeName = "consul-test" };
        return new StartedRegistry(await BuiltInRegistry.StartAsync(with?.Invoke(options) ?? options, time ?? TimeProvider.System, new Random(1), NullLoggerFactory.Instance));
    }

    public async Task<HttpResponseMessage> SendAsync(string method, string path, string? body = null)
    {
        using var request = new HttpRequestMessage(new HttpMethod(method), path);
        if (body is not null) request.Content = new StringContent(body, Encoding.UTF8, "application/json");
        return await Client.SendAsync(request);
    }

    /// <summary>A call that must be answered 200; its text.</summary>
    public async Task<string> DoAsync(string method, string path, string? body = null)
    {
        using var answer = await SendAsync(method, path, body);
        var text = await answer.Content.ReadAsStringAsync();
        Assert.True(answer.StatusCode == HttpStatusCode.OK, $"{method} {path}: {(int)answer.StatusCode} {text}");
        return text;
    }

    public async Task<JsonElement> GetAsync(string path)
    {
        using var json = JsonDocument.Parse(await DoAsync("GET", path));
        return json.RootElement.Clone();
    }

    public async Task<ulong> IndexAsync(string path)
    {
        using var answer = await SendAsync("GET", path);
        return ulong.Parse(answer.Headers.GetValues("X-Consul-Index").Single());
    }

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await registry.DisposeAsync();
    }
}
