using System.Diagnostics;
using System.Globalization;

namespace Mesh.Benchmarks;

/// <summary>
/// Two machines made of network namespaces with a cable between: a client with its sidecar, and a server with its sidecar and nginx. Mutual TLS between
/// the sidecars, HTTP/1.1 in and out. Captured, rules bring the client's connections to its sidecar and what arrives at the server to that one;
/// explicit, there are no rules and clients name the sidecar's port. Owned by the bench; disposing it leaves nothing behind.
/// </summary>
internal sealed class CaptureMachines : IDisposable
{
    private const string User = "1337"; // whose traffic the rules leave alone
    private const int AppPort = 8080;
    private readonly string client;
    private readonly string server;
    private readonly List<Subject> programs = [];
    private readonly List<Subject> sidecars = [];

    private CaptureMachines(string name, string prefix)
    {
        (Name, client, server) = (name, $"{prefix}-c", $"{prefix}-s");
    }

    /// <summary>"captured" or "explicit".</summary>
    public string Name { get; }

    /// <summary>What a client of the first machine connects to.</summary>
    public string Authority { get; private set; } = "";

    /// <summary>Why there can be none here; null when there can.</summary>
    public static string? Missing()
    {
        if (!Environment.IsPrivilegedProcess) return "it needs root, for network namespaces and rules";
        foreach (var program in new[] { "ip", "setpriv", "nft" })
        {
            if (!Environment.GetEnvironmentVariable("PATH")!.Split(':').Any(p => File.Exists(Path.Combine(p, program)))) return $"there is no {program}";
        }

        return null;
    }

    public static CaptureMachines Start(bool isCaptured, string folder, PairCertificates certificates)
    {
        var machines = new CaptureMachines(isCaptured ? "captured" : "explicit", $"mb{Environment.ProcessId}{(isCaptured ? 'c' : 'e')}");
        try
        {
            machines.Build();
            machines.Run(isCaptured, folder, certificates);
            return machines;
        }
        catch
        {
            machines.Dispose();
            throw;
        }
    }

    /// <summary>The command that runs another on the client's machine.</summary>
    public string[] OnClient => ["ip", "netns", "exec", client];

    /// <summary>CPU time of both sidecars so far, in microseconds.</summary>
    public double CpuMicroseconds() => sidecars.Sum(s => s.CpuMicroseconds());

    public void Dispose()
    {
        programs.ForEach(p => p.Dispose());
        foreach (var name in new[] { client, server }) Try("ip", "netns", "del", name);
    }

    private static string ServerAddress => "10.77.0.2";

    private void Build()
    {
        foreach (var name in new[] { client, server })
        {
            Must("ip", "netns", "add", name);
            Must("ip", "-n", name, "link", "set", "lo", "up");
        }

        Must("ip", "link", "add", "eth0", "netns", client, "type", "veth", "peer", "name", "eth0", "netns", server);
        foreach (var (name, address) in new[] { (client, "10.77.0.1/24"), (server, ServerAddress + "/24") })
        {
            Must("ip", "-n", name, "addr", "add", address, "dev", "eth0");
            Must("ip", "-n", name, "link", "set", "eth0", "up");
        }
    }

    private void Run(bool isCaptured, string folder, PairCertificates certificates)
    {
        var own = Directory.CreateDirectory(Path.Combine(folder, Name)).FullName;
        var meant = (ServerAddress, AppPort);
        var (outbound, inbound) = isCaptured
            ? (new Leg("outbound", true, 15001, AppPort, TlsOut: true) { Captured = meant }, new Leg("inbound", true, 15006, 0, TlsIn: true) { Captured = meant, ToOriginal = true, ListenAddress = "0.0.0.0" })
            : (new Leg("outbound", true, 9000, 9000, TlsOut: true), new Leg("inbound", true, 9000, AppPort, TlsIn: true) { ListenAddress = "0.0.0.0" });
        outbound = outbound with { TargetAddress = ServerAddress };
        inbound = inbound with { TargetAddress = ServerAddress };
        programs.Add(StartBackend(own));
        StartSidecar(client, "client", outbound, own, certificates);
        StartSidecar(server, "server", inbound, own, certificates);
        if (isCaptured)
        {
            foreach (var name in new[] { client, server })
                Must("ip", "netns", "exec", name, Environment.GetEnvironmentVariable("MESH_BENCH_SIDECAR")!, "capture", "install", "--dns", "off", "--backend", "nft");
        }

        Authority = isCaptured ? string.Create(CultureInfo.InvariantCulture, $"{ServerAddress}:{AppPort}") : "127.0.0.1:9000";
        WaitForAnswer();
    }

    private Subject StartBackend(string folder)
    {
        var config = Path.Combine(folder, "backend.conf");
        File.WriteAllText(config, Hops.Backend($"{ServerAddress}:{AppPort}", folder));
        return Subject.Start("backend", AppPort, Cores.Backend, Path.Combine(folder, "backend.log"), "ip", "netns", "exec", server, "nginx", "-p", folder, "-c", config);
    }

    private void StartSidecar(string machine, string end, Leg leg, string folder, PairCertificates certificates)
    {
        var config = Path.Combine(folder, end + ".yaml");
        File.WriteAllText(config, PairResources.Write(end, [leg], certificates, forEnvoy: false));
        var sidecar = Subject.Start(
            "mesh", 0, Cores.Proxy, Path.Combine(folder, end + ".log"), "ip", "netns", "exec", machine,
            "setpriv", "--reuid", User, "--regid", User, "--clear-groups",
            Environment.GetEnvironmentVariable("MESH_BENCH_SIDECAR")!, "--static", config, "--access-log", "off");
        programs.Add(sidecar);
        sidecars.Add(sidecar);
    }

    private void WaitForAnswer()
    {
        var watch = Stopwatch.StartNew();
        var last = "";
        while (watch.Elapsed < TimeSpan.FromSeconds(20))
        {
            var (code, text) = Try([.. OnClient, "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-m", "2", $"http://{Authority}/"]);
            if (code == 0 && text.Trim() == "200") return;
            last = text;
            Thread.Sleep(100);
        }

        throw new TimeoutException($"no answer through the {Name} machines: {last}");
    }

    private static void Must(params string[] command)
    {
        var (code, text) = Try(command);
        if (code != 0) throw new InvalidOperationException($"{string.Join(' ', command)} ended with {code}: {text}");
    }

    private static (int Code, string Text) Try(params string[] command)
    {
        using var process = Process.Start(new ProcessStartInfo(command[0], command[1..]) { UseShellExecute = false, RedirectStandardOutput = true, RedirectStandardError = true })!;
        var errors = process.StandardError.ReadToEndAsync();
        var text = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, text + errors.GetAwaiter().GetResult());
    }
}
