using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Testbed.Network;

/// <summary>
/// A machine whose traffic is captured, with a sidecar that runs on it as its own user. What the test starts on <see cref="Host"/> is the application;
/// it knows nothing of the mesh. The host owns it.
/// </summary>
internal sealed class CapturedWorkload : IAsyncDisposable
{
    private const int SidecarUser = 1337;
    private readonly TemporaryFolder folder = new();
    private readonly List<string> arguments;
    private readonly CaptureShape shape;
    private readonly string token;
    private readonly HttpClient http;
    private ChildProcess process;

    private CapturedWorkload(NetworkHost host, string service, CaptureShape shape, string token, IEnumerable<string> arguments)
    {
        (Host, Service, this.shape, this.token, http) = (host, service, shape, token, host.Http());
        this.arguments = [.. arguments, "--service", service, "--capture", shape.Mode, "--identity-dir", folder["identity"], .. shape.KeepsState ? (string[])["--state-dir", folder["state"]] : [], .. shape.Ports.SelectMany(p => (string[])["--port", p]), .. shape.More];
        using var owning = System.Diagnostics.Process.Start("chown", ["-R", $"{SidecarUser}", folder.Path]);
        owning.WaitForExit();
        process = Launch();
    }

    /// <summary>The machine.</summary>
    public NetworkHost Host { get; }

    /// <summary>The service that it is an instance of.</summary>
    public string Service { get; }

    /// <summary>The numbers of the ports that it declares.</summary>
    public IEnumerable<int> Ports => shape.Ports.Select(p => int.Parse(p.Split(':')[0], System.Globalization.CultureInfo.InvariantCulture));

    /// <summary>Where the others find it.</summary>
    public string Address => shape.IsV6 ? Host.Address6 : Host.Address;

    /// <summary>A port of it as configuration says it.</summary>
    public string Endpoint(int port) => shape.IsV6 ? $"[{Address}]:{port}" : $"{Address}:{port}";

    /// <summary>The sidecar's process.</summary>
    public ChildProcess Process => process;

    /// <summary>What all its sidecars logged, the last one last.</summary>
    public string Output { get; private set; } = "";

    /// <summary>Starts the sidecar, and once it is ready sets the rules.</summary>
    public static async Task<CapturedWorkload> StartAsync(NetworkHost host, string service, CaptureShape shape, string token, IEnumerable<string> arguments)
    {
        var made = new CapturedWorkload(host, service, shape, token, arguments);
        host.Own(made);
        await made.BecomeReadyAsync();
        await made.InstallAsync();
        return made;
    }

    /// <summary>Sets the rules.</summary>
    public Task<string> InstallAsync() => CaptureAsync(["install", "--mode", shape.Mode, "--backend", shape.Backend, .. shape.Rules]);

    /// <summary><c>mesh-sidecar capture</c> as root; fails with what it said when it does.</summary>
    public Task<string> CaptureAsync(params string[] command) => Host.MustAsync(Programs.Sidecar, ["capture", .. command]);

    /// <summary>All metrics as text.</summary>
    public Task<string> MetricsAsync() => http.GetStringAsync("http://127.0.0.1:15020/metrics");

    /// <summary>The sum of the series of a metric whose labels contain all of these.</summary>
    public async Task<double> MetricAsync(string name, params string[] labels) => SumOf(await MetricsAsync(), name, labels);

    /// <summary>The same in what the metrics were at one moment.</summary>
    public static double SumOf(string metrics, string name, params string[] labels) => metrics.Split('\n')
        .Where(l => l.StartsWith(name, StringComparison.Ordinal) && labels.All(label => l.Contains(label, StringComparison.Ordinal)))
        .Sum(l => double.Parse(l[(l.LastIndexOf(' ') + 1)..], System.Globalization.CultureInfo.InvariantCulture));

    /// <summary>A page of the admin surface, whatever its status.</summary>
    public async Task<string> AdminAsync(string path)
    {
        using var answer = await http.GetAsync($"http://127.0.0.1:15000{path}");
        return await answer.Content.ReadAsStringAsync();
    }

    /// <summary>Ends the sidecar as a crash would.</summary>
    public async Task KillAsync()
    {
        await process.KillAsync();
        Output += process.Output + "\n--- killed ---\n";
        await process.DisposeAsync();
    }

    /// <summary>Starts it again after <see cref="KillAsync"/>.</summary>
    public void Restart() => process = Launch();

    /// <summary>Waits until it takes traffic.</summary>
    public Task BecomeReadyAsync() => Eventually.PassesAsync(async () =>
    {
        process.MustRun();
        using var answer = await http.GetAsync("http://127.0.0.1:15021/healthz/ready");
        Assert.True(answer.IsSuccessStatusCode, $"the sidecar of {Host.Name} is not ready: {answer.StatusCode}\n{process.Output}");
    }, 60);

    /// <summary>All output.</summary>
    public string Log => Output + process.Output;

    public async ValueTask DisposeAsync()
    {
        await process.DisposeAsync();
        http.Dispose();
        folder.Dispose();
    }

    private ChildProcess Launch()
    {
        List<string> command = ["--reuid", $"{SidecarUser}", "--regid", $"{SidecarUser}", "--clear-groups"];
        if (shape.Mode == "tproxy") command.AddRange(["--inh-caps", "+net_admin", "--ambient-caps", "+net_admin"]);
        return ChildProcess.Start("ip", Host.Namespace.Inside("setpriv", [.. command, Programs.Sidecar, .. arguments]), ("MESH_JOIN_TOKEN", token), ("HTTP_PROXY", null), ("http_proxy", null));
    }
}
