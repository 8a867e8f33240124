using System.Diagnostics;
using System.Net.Http.Headers;
using System.Runtime.CompilerServices;
using System.Text.Json;

namespace Mesh.Tests;

/// <summary>
/// A real Consul agent (development mode: in memory, one server) on free loopback ports, for one test or one fixture.
/// It is looked for in MESH_CONSUL, on PATH, then as <c>shared/peers/programs/get consul</c> beside the repository or one of its parents.
/// The process lives 10 minutes at most even when the test host is killed; <see cref="DisposeAsync"/> ends it and removes its folder.
/// Use from one test at a time.
/// </summary>
public sealed class ConsulProcess : IAsyncDisposable
{
    private static readonly TimeSpan StartTimeout = TimeSpan.FromSeconds(60);
    private static readonly Lazy<string?> Program = new(Locate);
    private readonly string program;
    private readonly string[] extra;
    private readonly string folder = Directory.CreateTempSubdirectory("mesh-consul-").FullName;
    private Process? process;
    private int[] ports = [];

    private ConsulProcess(string program, string[] extra)
    {
        this.program = program;
        this.extra = extra;
    }

    /// <summary>Where the HTTP API listens, such as <c>http://127.0.0.1:41234</c>.</summary>
    public Uri Address => new($"http://127.0.0.1:{ports[0]}");

    /// <summary>The management token when the agent was started by <see cref="StartWithAclAsync"/>; else null.</summary>
    public string? Token { get; private init; }

    /// <summary>Is there a Consul to start? False: skip the test with <see cref="SkipReason"/>.</summary>
    public static bool IsAvailable => Program.Value is not null;

    /// <summary>What to print when a test is skipped for want of Consul.</summary>
    public const string SkipReason = "no consul: put it on PATH or name it in MESH_CONSUL";

    /// <summary>Starts an agent and waits for its leader. <paramref name="arguments"/> are appended to the command line. Skips the test when there is no Consul.</summary>
    public static async Task<ConsulProcess> StartAsync(params string[] arguments)
    {
        Skip.If(!IsAvailable, SkipReason);
        return await StartedAsync(new ConsulProcess(Program.Value!, arguments));
    }

    /// <summary>The same with ACLs on and "deny" by default; <see cref="Token"/> may do everything.</summary>
    public static async Task<ConsulProcess> StartWithAclAsync(params string[] arguments)
    {
        Skip.If(!IsAvailable, SkipReason);
        var token = Guid.NewGuid().ToString();
        var acl = $"acl {{ enabled = true default_policy = \"deny\" tokens {{ initial_management = \"{token}\" agent = \"{token}\" }} }}";
        return await StartedAsync(new ConsulProcess(Program.Value!, ["-hcl", acl, .. arguments]) { Token = token });
    }

    /// <summary>A client of this agent's API (with the token, if there is one). The caller disposes it.</summary>
    public HttpClient CreateClient()
    {
        var client = new HttpClient { BaseAddress = Address, Timeout = TimeSpan.FromMinutes(11) };
        if (Token is not null) client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", Token);
        return client;
    }

    /// <summary>Kills the agent as a crash would; the ports stay reserved for <see cref="RestartAsync"/> by nobody but luck.</summary>
    public async Task StopAsync()
    {
        if (process is null) return;
        if (!process.HasExited) process.Kill(entireProcessTree: true);
        await process.WaitForExitAsync();
        process.Dispose();
        process = null;
    }

    /// <summary>Starts an empty agent (development mode keeps nothing; indexes begin anew) on the ports of the one before.</summary>
    public async Task RestartAsync()
    {
        await StopAsync();
        await LaunchAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        Directory.Delete(folder, recursive: true);
    }

    private static async Task<ConsulProcess> StartedAsync(ConsulProcess consul)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                consul.ports = [FreePorts.One(), FreePorts.One(), FreePorts.One()];
                await consul.LaunchAsync();
                return consul;
            }
            catch (InvalidOperationException) when (attempt < 3)
            {
                // Another process may have taken a port between our look and Consul's bind.
                await consul.StopAsync();
            }
            catch
            {
                await consul.DisposeAsync();
                throw;
            }
        }
    }

    private async Task LaunchAsync()
    {
        var log = Path.Combine(folder, "consul.log");
        var start = new ProcessStartInfo("/bin/sh") { UseShellExecute = false, WorkingDirectory = folder };
        // The shell only redirects; `timeout` bounds the agent's life should this process die before it can end it.
        foreach (var word in (string[])["-c", "exec timeout --kill-after=5 600 \"$@\" >consul.log 2>&1 </dev/null", "sh", program, .. Arguments()])
            start.ArgumentList.Add(word);
        foreach (var name in start.Environment.Keys.Where(k => k.StartsWith("CONSUL_", StringComparison.Ordinal)).ToArray())
            start.Environment.Remove(name);
        process = Process.Start(start)!;
        var until = Stopwatch.StartNew();
        using var client = CreateClient();
        while (!await IsReadyAsync(client))
        {
            if (process.HasExited) throw new InvalidOperationException($"consul ended while it started:\n{Tail(log)}");
            if (until.Elapsed > StartTimeout) throw new InvalidOperationException($"consul is not ready after {StartTimeout}:\n{Tail(log)}");
            await Task.Delay(50);
        }
    }

    private string[] Arguments() =>
    [
        "agent", "-dev", "-bind=127.0.0.1", "-client=127.0.0.1", "-node=consul-test", "-log-level=warn",
        $"-http-port={ports[0]}", $"-server-port={ports[1]}", $"-serf-lan-port={ports[2]}",
        "-serf-wan-port=-1", "-dns-port=-1", "-grpc-port=-1", "-grpc-tls-port=-1",
        "-hcl", "disable_update_check = true limits { http_max_conns_per_client = 4096 }", .. extra,
    ];

    /// <summary>
    /// Ready = there is a leader, the agent's own node is in the catalog and healthy, and the agent has told all it has to tell about it
    /// (the tagged addresses come last), so that from here on indexes do not move by themselves.
    /// </summary>
    private static async Task<bool> IsReadyAsync(HttpClient client)
    {
        try
        {
            using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(5));
            using var checks = await ReadAsync(client, "/v1/health/node/consul-test", patience.Token);
            if (checks is null || !checks.RootElement.EnumerateArray().Any(c => c.GetProperty("Status").GetString() == "passing")) return false;
            using var nodes = await ReadAsync(client, "/v1/catalog/nodes", patience.Token);
            return nodes is not null && nodes.RootElement[0].GetProperty("TaggedAddresses").ValueKind == JsonValueKind.Object;
        }
        catch (Exception e) when (e is HttpRequestException or OperationCanceledException or JsonException)
        {
            return false;
        }
    }

    private static async Task<JsonDocument?> ReadAsync(HttpClient client, string path, CancellationToken cancel)
    {
        using var answer = await client.GetAsync(path, cancel);
        return answer.IsSuccessStatusCode ? JsonDocument.Parse(await answer.Content.ReadAsStringAsync(cancel)) : null;
    }

    private static string Tail(string log) => File.Exists(log) ? string.Join('\n', File.ReadLines(log).TakeLast(20)) : "(no log)";

    private static string? Locate() => Named() ?? Above(AppContext.BaseDirectory) ?? Above(SourceFolder());

    private static string? Named()
    {
        if (Environment.GetEnvironmentVariable("MESH_CONSUL") is { Length: > 0 } named) return named;
        return (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Select(d => Path.Combine(d, "consul")).FirstOrDefault(File.Exists);
    }

    /// <summary>The program's place beside the repository. The tests may be built elsewhere, so their source is a place to begin from too.</summary>
    private static string? Above(string folder)
    {
        for (var d = new DirectoryInfo(folder); d is not null; d = d.Parent)
        {
            var get = Path.Combine(d.FullName, "shared/peers/programs/get");
            if (File.Exists(get)) return RunGet(get);
        }

        return null;
    }

    private static string SourceFolder([CallerFilePath] string file = "") => Path.GetDirectoryName(file) ?? "/";

    private static string? RunGet(string get)
    {
        using var unpack = Process.Start(new ProcessStartInfo(get, "consul") { RedirectStandardOutput = true, UseShellExecute = false })!;
        var path = unpack.StandardOutput.ReadToEnd().Trim();
        unpack.WaitForExit();
        return unpack.ExitCode == 0 && File.Exists(path) ? path : null;
    }
}
