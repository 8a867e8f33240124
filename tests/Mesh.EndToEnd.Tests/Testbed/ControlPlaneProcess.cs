using System.Net.Http.Json;
using System.Text.Json;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Testbed;

/// <summary>
/// A control plane as a process, on free ports that it keeps over a restart, with its rules and data in a folder of its own.
/// </summary>
internal sealed class ControlPlaneProcess : IAsyncDisposable
{
    private readonly TemporaryFolder folder = new();
    private readonly string? consul;
    private readonly string[] more;
    private readonly List<string> past = [];
    private ChildProcess? process;

    private ControlPlaneProcess(string? consul, string[] more)
    {
        (this.consul, this.more) = (consul, more);
        Directory.CreateDirectory(folder["rules"]);
        Directory.CreateDirectory(folder["data"]);
    }

    /// <summary>host:port of xDS, registration and telemetry.</summary>
    public string Xds { get; private set; } = "127.0.0.1:0";

    /// <summary>host:port of health and metrics.</summary>
    public string Health { get; private set; } = "127.0.0.1:0";

    /// <summary>host:port of the operators' API.</summary>
    public string Operators { get; private set; } = "127.0.0.1:0";

    /// <summary>host:port of the registry in use: Consul, or the built-in one.</summary>
    public string Registry { get; private set; } = "127.0.0.1:0";

    /// <summary>What it wrote, all runs.</summary>
    public string Output => string.Join("\n--- restart ---\n", past.Append(process?.Output ?? "(not running)"));

    /// <summary>A client for its HTTP surfaces.</summary>
    public HttpClient Http { get; } = new(new SocketsHttpHandler { UseProxy = false }) { Timeout = TimeSpan.FromSeconds(15) };

    /// <summary>Starts one; <paramref name="consul"/> null uses the built-in registry.</summary>
    public static async Task<ControlPlaneProcess> StartAsync(Uri? consul = null, params string[] more)
    {
        var made = new ControlPlaneProcess(consul?.ToString(), more);
        if (consul is not null) made.Registry = consul.Authority;
        try
        {
            await made.LaunchAsync();
            return made;
        }
        catch
        {
            await made.DisposeAsync();
            throw;
        }
    }

    /// <summary>Writes (or rewrites) a rule file, whole or not at all.</summary>
    public async Task WriteRuleAsync(string name, string yaml)
    {
        var draft = folder["draft"];
        await File.WriteAllTextAsync(draft, yaml);
        File.Move(draft, Path.Combine(folder["rules"], name), overwrite: true);
    }

    /// <summary>Removes a rule file.</summary>
    public void RemoveRule(string name) => File.Delete(Path.Combine(folder["rules"], name));

    /// <summary>Registers an instance as a script would, at the registry.</summary>
    public async Task RegisterAsync(string service, string id, int port, params (string Key, string Value)[] meta)
    {
        using var answer = await Http.PutAsJsonAsync($"http://{Registry}/v1/agent/service/register", new
        {
            ID = id,
            Name = service,
            Address = "127.0.0.1",
            Port = port,
            Meta = meta.ToDictionary(m => m.Key, m => m.Value, StringComparer.Ordinal),
        });
        Assert.True(answer.IsSuccessStatusCode, $"register {id}: {answer.StatusCode} {await answer.Content.ReadAsStringAsync()}");
    }

    /// <summary>Withdraws an instance.</summary>
    public async Task DeregisterAsync(string id)
    {
        using var answer = await Http.PutAsync($"http://{Registry}/v1/agent/service/deregister/{id}", null);
        Assert.True(answer.IsSuccessStatusCode, $"deregister {id}: {answer.StatusCode}");
    }

    /// <summary>A JSON page of the operators' API.</summary>
    public Task<JsonElement> GetAsync(string path) => Http.GetFromJsonAsync<JsonElement>($"http://{Operators}{path}");

    /// <summary>Ends it as an operator would.</summary>
    public async Task StopAsync()
    {
        if (process is null) return;
        await process.StopAsync();
        await ForgetAsync();
    }

    /// <summary>Ends it as a crash would.</summary>
    public async Task KillAsync()
    {
        if (process is null) return;
        await process.KillAsync();
        await ForgetAsync();
    }

    /// <summary>Starts it again on the same ports.</summary>
    public async Task RestartAsync()
    {
        await StopAsync();
        await LaunchAsync();
    }

    /// <summary>Starts it on its ports.</summary>
    public async Task LaunchAsync()
    {
        var ports = folder["ports.json"];
        File.Delete(ports);
        List<string> arguments =
        [
            "--rules", folder["rules"], "--data", folder["data"], "--mesh-api", "127.0.0.1:0", "--xds", Xds, "--health", Health, "--operators", Operators,
            "--ports-file", ports, "--grace", "2", "--log-level", "debug", .. more,
        ];
        arguments.AddRange(consul is null ? ["--registry", Registry] : ["--consul", consul]);
        process = ChildProcess.Start(Programs.ControlPlane, arguments, ("HTTP_PROXY", null), ("http_proxy", null));
        await Eventually.HoldsAsync(() =>
        {
            process.MustRun();
            return File.Exists(ports);
        }, "the control plane writes its ports file");
        using var bound = JsonDocument.Parse(await File.ReadAllTextAsync(ports));
        Xds = bound.RootElement.GetProperty("xds").GetString()!;
        Health = bound.RootElement.GetProperty("health").GetString()!;
        Operators = bound.RootElement.GetProperty("operators").GetString()!;
        if (consul is null) Registry = bound.RootElement.GetProperty("registry").GetString()!;
        await Eventually.PassesAsync(async () =>
        {
            process.MustRun();
            (await Http.GetAsync($"http://{Health}/readyz")).EnsureSuccessStatusCode();
        });
    }

    public async ValueTask DisposeAsync()
    {
        if (process is not null) await process.DisposeAsync();
        Http.Dispose();
        folder.Dispose();
    }

    private async Task ForgetAsync()
    {
        past.Add(process!.Output);
        await process.DisposeAsync();
        process = null;
    }
}
