using System.Net;
using System.Text.Json;
using System.Text.RegularExpressions;
using Mesh.ControlPlane.Sources.Registry;
using Mesh.Tests;
using Microsoft.Extensions.Logging.Abstractions;

namespace Mesh.ControlPlane.Tests.Sources.Workloads;

/// <summary>A real Consul or the built-in registry, for tests that must hold for both. One test at a time.</summary>
public sealed class TestRegistry : IAsyncDisposable
{
    private readonly ConsulProcess? consul;
    private readonly IPEndPoint address;
    private readonly string? folder;
    private BuiltInRegistry? builtIn;

    private TestRegistry(ConsulProcess? consul, string? folder = null)
    {
        (this.consul, this.folder) = (consul, folder);
        // An address of its own: while it is down, nobody else on this machine is given its port.
        var own = IPAddress.Parse($"127.1.{Random.Shared.Next(256)}.{Random.Shared.Next(1, 255)}");
        address = consul is null ? new IPEndPoint(own, FreePorts.One()) : new IPEndPoint(IPAddress.Loopback, consul.Address.Port);
        Client = new HttpClient { BaseAddress = Address };
    }

    public Uri Address => new($"http://{address}");

    public HttpClient Client { get; }

    /// <summary>Starts "consul" or "built-in"; skips the test without Consul.</summary>
    public static async Task<TestRegistry> StartAsync(string kind)
    {
        var registry = new TestRegistry(kind == "consul" ? await ConsulProcess.StartAsync() : null);
        if (registry.consul is null) await registry.StartAsync();
        return registry;
    }

    /// <summary>A built-in registry that is not there yet, at an address it will have.</summary>
    public static TestRegistry Later(string? folder = null) => new(null, folder);

    public async Task StartAsync()
    {
        var options = new RegistryOptions { Address = address, NodeName = "here", DataFolder = folder };
        builtIn = await BuiltInRegistry.StartAsync(options, TimeProvider.System, new Random(1), NullLoggerFactory.Instance);
    }

    public async Task StopAsync()
    {
        if (consul is not null) await consul.StopAsync();
        if (builtIn is not null) await builtIn.DisposeAsync();
        builtIn = null;
    }

    /// <summary>Comes back with nothing in it.</summary>
    public async Task RestartEmptyAsync()
    {
        if (consul is not null) await consul.RestartAsync();
        else await StartAsync();
    }

    public async Task<JsonElement> GetAsync(string path)
    {
        using var json = JsonDocument.Parse(await Client.GetStringAsync(path));
        return json.RootElement.Clone();
    }

    public async Task<string> PutAsync(string path, string body)
    {
        using var answer = await Client.PutAsync(path, new StringContent(body));
        var text = await answer.Content.ReadAsStringAsync();
        Assert.True(answer.IsSuccessStatusCode, $"PUT {path}: {(int)answer.StatusCode} {text}");
        return text;
    }

    /// <summary>Ids of the instances of a service as the registry says, with owner (without the mark of its run) and state: <c>a@r1 passing</c>.</summary>
    public async Task<string[]> EntriesAsync(string service)
    {
        var list = await GetAsync($"/v1/health/service/{service}");
        return [.. list.EnumerateArray().Select(e =>
        {
            var s = e.GetProperty("Service");
            var owner = s.GetProperty("Meta").TryGetProperty("mesh-owner", out var o) ? Regex.Replace(o.GetString()!, "-[0-9a-f]{6}$", "") : "-";
            return $"{s.GetProperty("ID").GetString()}@{owner} {string.Join(',', e.GetProperty("Checks").EnumerateArray().Select(c => c.GetProperty("Status").GetString()))}";
        }).Order(StringComparer.Ordinal)];
    }

    public Task HasAsync(string service, params string[] entries) =>
        Eventually.PassesAsync(async () => Assert.Equal(entries, await EntriesAsync(service)));

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await StopAsync();
        if (consul is not null) await consul.DisposeAsync();
    }
}
