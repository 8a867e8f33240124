using System.Net;
using System.Text.Json;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Testbed;

/// <summary>A sidecar as a process, on free ports.</summary>
internal sealed class SidecarProcess : IAsyncDisposable
{
    private readonly TemporaryFolder folder = new();
    private readonly ChildProcess process;

    private SidecarProcess(string workload, string? joinToken, IEnumerable<string> arguments)
    {
        Workload = workload;
        process = ChildProcess.Start(Programs.Sidecar,
            [
                "--workload", workload, "--admin", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--readiness", "127.0.0.1:0",
                "--outbound", "127.0.0.1:0", "--ports-file", folder["ports.json"], .. arguments,
            ],
            ("HTTP_PROXY", null), ("http_proxy", null), ("MESH_JOIN_TOKEN", joinToken));
    }

    /// <summary>Workload ID.</summary>
    public string Workload { get; }

    /// <summary>Ports by purpose.</summary>
    public JsonElement Ports { get; private set; }

    /// <summary>host:port of the outbound listener.</summary>
    public string Outbound => Ports.GetProperty("outbound").GetString()!;

    /// <summary>host:port of the admin surface.</summary>
    public string Admin => Ports.GetProperty("admin").GetString()!;

    /// <summary>host:port of the metrics.</summary>
    public string Metrics => Ports.GetProperty("metrics").GetString()!;

    /// <summary>The process.</summary>
    public ChildProcess Process => process;

    /// <summary>host:port of the inbound listener of an application port.</summary>
    public string Inbound(int appPort) => Ports.GetProperty("inbound").GetProperty($"{appPort}").GetString()!;

    /// <summary>host:port of an explicit upstream.</summary>
    public string Upstream(string service) => Ports.GetProperty("upstreams").GetProperty(service).GetString()!;

    /// <summary>Starts one that joins the mesh with a token, and waits until it is ready.</summary>
    public static async Task<SidecarProcess> StartAsync(string workload, string joinToken, IEnumerable<string> arguments)
    {
        var made = await LaunchAsync(workload, arguments, joinToken);
        try
        {
            await made.BecomeReadyAsync();
            return made;
        }
        catch
        {
            await made.DisposeAsync();
            throw;
        }
    }

    /// <summary>Starts one and waits until its ports are bound; it may still lack a configuration.</summary>
    public static async Task<SidecarProcess> LaunchAsync(string workload, IEnumerable<string> arguments, string? joinToken = null)
    {
        var made = new SidecarProcess(workload, joinToken, arguments);
        try
        {
            await made.BindAsync();
            return made;
        }
        catch
        {
            await made.DisposeAsync();
            throw;
        }
    }

    /// <summary>A client that goes through this sidecar as its HTTP proxy. The caller disposes it.</summary>
    public HttpClient Client() =>
        new(new SocketsHttpHandler { Proxy = new WebProxy($"http://{Outbound}"), UseProxy = true, MaxConnectionsPerServer = 64 })
        {
            Timeout = TimeSpan.FromSeconds(30),
        };

    /// <summary>All metrics as text.</summary>
    public async Task<string> MetricsAsync()
    {
        using var client = new HttpClient(new SocketsHttpHandler { UseProxy = false });
        return await client.GetStringAsync($"http://{Metrics}/metrics");
    }

    public async ValueTask DisposeAsync()
    {
        await process.DisposeAsync();
        folder.Dispose();
    }

    /// <summary>Waits until it says that it is ready.</summary>
    public async Task BecomeReadyAsync()
    {
        using var client = new HttpClient(new SocketsHttpHandler { UseProxy = false });
        await Eventually.PassesAsync(async () =>
        {
            process.MustRun();
            using var answer = await client.GetAsync($"http://{Ports.GetProperty("readiness").GetString()}/healthz/ready");
            Assert.True(answer.IsSuccessStatusCode, $"{Workload} is not ready: {await answer.Content.ReadAsStringAsync()}\n{process.Output}");
        });
    }

    private async Task BindAsync()
    {
        await Eventually.HoldsAsync(() =>
        {
            process.MustRun();
            return File.Exists(folder["ports.json"]);
        }, "the sidecar writes its ports file");
        Ports = JsonDocument.Parse(await File.ReadAllTextAsync(folder["ports.json"])).RootElement;
    }
}
