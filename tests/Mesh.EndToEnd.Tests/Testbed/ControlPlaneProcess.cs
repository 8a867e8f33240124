using System.Net.Http.Json;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Mesh.Api.Operators;
using Mesh.EndToEnd.Tests.Testbed.Network;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Testbed;

/// <summary>
/// A control plane as a process, on free ports that it keeps over a restart, with its rules and data in a folder of its own.
/// </summary>
internal sealed class ControlPlaneProcess : IAsyncDisposable
{
    private readonly TemporaryFolder folder = new();
    private readonly ControlPlaneShape shape;
    private readonly List<string> past = [];
    private ChildProcess? process;

    private ControlPlaneProcess(ControlPlaneShape shape)
    {
        this.shape = shape;
        Http = shape.Host?.Http() ?? new(new SocketsHttpHandler { UseProxy = false }) { Timeout = TimeSpan.FromSeconds(15) };
        if (shape.Host is { } host) MeshApi = $"{(shape.OnLoopback ? "127.0.0.1" : shape.IsDualStack ? "[::]" : host.Address)}:15012";
        Directory.CreateDirectory(folder["rules"]);
        if (shape.Consul is not null) Registry = shape.Consul.Authority;
    }

    /// <summary>host:port for workloads: certificates, xDS, registration and telemetry over TLS.</summary>
    public string MeshApi { get; private set; } = Free();

    /// <summary>host:port of plaintext xDS, when it was asked for.</summary>
    public string Xds { get; private set; } = Free();

    /// <summary>host:port of health and metrics.</summary>
    public string Health { get; private set; } = Free();

    /// <summary>host:port of the operators' API.</summary>
    public string Operators { get; private set; } = Free();

    /// <summary>host:port of the registry in use: Consul, or the built-in one.</summary>
    public string Registry { get; private set; } = Free();

    /// <summary>What it wrote, all runs.</summary>
    public string Output => string.Join("\n--- restart ---\n", past.Append(process?.Output ?? "(not running)"));

    /// <summary>A client for its HTTP surfaces.</summary>
    public HttpClient Http { get; }

    /// <summary>The file of the operators' token of the role admin.</summary>
    public string AdminTokenFile => folder["data/" + OperatorsFiles.AdminToken];

    /// <summary>That of the role view.</summary>
    public string ViewTokenFile => folder["data/" + OperatorsFiles.ViewToken];

    /// <summary>Starts one, with the built-in registry and without plaintext unless told otherwise.</summary>
    public static async Task<ControlPlaneProcess> StartAsync(ControlPlaneShape? shape = null)
    {
        var made = new ControlPlaneProcess(shape ?? new ControlPlaneShape());
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
    public async Task<JsonElement> GetAsync(string path) => await OperateAsync(HttpMethod.Get, path, null, (JsonTypeInfo<JsonElement>)JsonSerializerOptions.Default.GetTypeInfo(typeof(JsonElement)));

    /// <summary>Begins a change of the root, and waits for nothing.</summary>
    public Task RotateAsync() => OperateAsync(
        HttpMethod.Post, OperatorsApi.Rotation, JsonContent.Create(new RotationRequest(Rehearse: false), OperatorsJson.Default.RotationRequest), OperatorsJson.Default.AuthorityStatus);

    /// <summary>A join token for one account and the services it serves: by default its own.</summary>
    public Task<string> JoinTokenAsync(string account, string ns = "default", params string[] serves) =>
        JoinTokenAsync(new TokenRequest { Identity = $"ns/{ns}/sa/{account}", Serves = serves.Length > 0 ? serves : [account] });

    /// <summary>A join token as described.</summary>
    public async Task<string> JoinTokenAsync(TokenRequest request)
    {
        return (await OperateAsync(HttpMethod.Post, OperatorsApi.Tokens, JsonContent.Create(request, OperatorsJson.Default.TokenRequest), OperatorsJson.Default.IssuedToken)).Token;
    }

    /// <summary>How meshctl finds it and logs in.</summary>
    public (string Name, string? Value)[] OperatorsEnvironment =>
        [("MESH_OPERATORS", $"http://{Operators}"), ("MESH_OPERATORS_TOKEN_FILE", AdminTokenFile), ("MESH_CONTROL_PLANE", MeshApi), ("MESH_JOIN_TOKEN", null)];

    /// <summary>Runs meshctl against it; fails with what it said unless it ends with <paramref name="code"/>.</summary>
    public async Task<string> MeshctlAsync(string[] arguments, int code = 0)
    {
        await using var meshctl = Start(Programs.Meshctl, arguments, OperatorsEnvironment);
        var ended = await meshctl.WaitAsync(60);
        Assert.True(ended == code, $"meshctl {string.Join(' ', arguments)} ended with {ended}:\n{meshctl.Output}");
        return meshctl.Output;
    }

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
            "--rules", folder["rules"], "--data", folder["data"], "--mesh-api", MeshApi, "--health", Health, "--operators", Operators,
            "--ports-file", ports, "--grace", "2", "--log-level", "debug", .. shape.More,
        ];
        if (shape.Plaintext) arguments.AddRange(["--xds", Xds]);
        arguments.AddRange(shape.Consul is null ? ["--registry", Registry] : ["--consul", shape.Consul.ToString()]);
        if (shape.CertificateLife is { } life) arguments.AddRange(["--certificate-lifetime", $"{life}s"]);
        process = Start(shape.CertificateLife is null ? Programs.ControlPlane : Programs.ShortLived, arguments, ("HTTP_PROXY", null), ("http_proxy", null));
        await Eventually.HoldsAsync(() =>
        {
            process.MustRun();
            return File.Exists(ports);
        }, "the control plane writes its ports file");
        using var bound = JsonDocument.Parse(await File.ReadAllTextAsync(ports));
        MeshApi = bound.RootElement.GetProperty("meshApi").GetString()!;
        if (shape.Plaintext) Xds = bound.RootElement.GetProperty("xds").GetString()!;
        Health = bound.RootElement.GetProperty("health").GetString()!;
        Operators = bound.RootElement.GetProperty("operators").GetString()!;
        if (shape.Consul is null) Registry = bound.RootElement.GetProperty("registry").GetString()!;
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

    private ChildProcess Start(string program, IEnumerable<string> arguments, params (string Name, string? Value)[] environment) => shape.Host is { } host
        ? ChildProcess.Start("ip", host.Namespace.Inside(program, arguments), environment)
        : ChildProcess.Start(program, arguments, environment);

    private async Task<T> OperateAsync<T>(HttpMethod method, string path, HttpContent? body, JsonTypeInfo<T> type)
    {
        using var request = new HttpRequestMessage(method, $"http://{Operators}{path}") { Content = body };
        request.Headers.Authorization = new("Bearer", (await File.ReadAllTextAsync(AdminTokenFile)).Trim());
        using var answer = await Http.SendAsync(request);
        Assert.True(answer.IsSuccessStatusCode, $"{method} {path}: {answer.StatusCode} {await answer.Content.ReadAsStringAsync()}");
        return (await answer.Content.ReadFromJsonAsync(type))!;
    }

    // Not any port the kernel likes: while it is away nobody else may get its ports, its own clients' connections least of all.
    private static string Free() => $"127.0.0.1:{FreePorts.One()}";

    private async Task ForgetAsync()
    {
        past.Add(process!.Output);
        await process.DisposeAsync();
        process = null;
    }
}

/// <summary>What is special about a control plane of a test.</summary>
internal sealed record ControlPlaneShape
{
    /// <summary>The machine it runs on; null: this one.</summary>
    public NetworkHost? Host { get; init; }

    /// <summary>True when that machine alone reaches it.</summary>
    public bool OnLoopback { get; init; }

    /// <summary>True when that machine is reached by both families.</summary>
    public bool IsDualStack { get; init; }

    /// <summary>A Consul to use; null: the built-in registry.</summary>
    public Uri? Consul { get; init; }

    /// <summary>Whether it offers plaintext xDS, for clients without an identity.</summary>
    public bool Plaintext { get; init; }

    /// <summary>Seconds that certificates live, fewer than the product allows; null: as the product does it.</summary>
    public int? CertificateLife { get; init; }

    /// <summary>More flags.</summary>
    public string[] More { get; init; } = [];
}
