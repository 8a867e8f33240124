using System.Runtime.CompilerServices;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests.Capture;

/// <summary>
/// A machine with a workload and a peer machine beside it, as namespaces: 10.9.0.1 and fd00:9::1 here, 10.9.0.2 and fd00:9::2 there. The peer listens on
/// port 80 (and 53), the workload's application on 8080; standins on the sidecar's ports say what they were given.
/// </summary>
internal sealed class CaptureNetwork : IAsyncDisposable
{
    public const string Here = "10.9.0.1";
    public const string Here6 = "fd00:9::1";
    public const string There = "10.9.0.2";
    public const string There6 = "fd00:9::2";
    private readonly List<ChildProcess> running = [];

    private CaptureNetwork(NetworkNamespace workload, NetworkNamespace peer) => (Workload, Peer) = (workload, peer);

    /// <summary>The workload's machine.</summary>
    public NetworkNamespace Workload { get; }

    /// <summary>The other machine.</summary>
    public NetworkNamespace Peer { get; }

    /// <summary>Makes the machines, with everything that runs on them.</summary>
    /// <param name="programs">What they must have installed, else the test is skipped.</param>
    public static async Task<CaptureNetwork> StartAsync(params string[] programs)
    {
        foreach (var program in programs.Append("python3")) ExternalProgram.Require(program);
        var network = new CaptureNetwork(NetworkNamespace.Create("rules"), NetworkNamespace.Create("peer"));
        NetworkNamespace.Connect(network.Workload, "e0", [$"{Here}/24", $"{Here6}/64"], network.Peer, "e1", [$"{There}/24", $"{There6}/64"]);
        await network.ServeAsync(network.Peer, "peer=0.0.0.0:80", "peer=[::]:80", "peer=0.0.0.0:81", "peer=0.0.0.0:53/udp", "peer=[::]:53/udp", "peer=0.0.0.0:53", "peer=[::]:53");
        await network.ServeAsync(network.Workload, "app=0.0.0.0:8080", "app=[::]:8080", "app=127.0.0.1:8081", "stub=127.0.0.53:53/udp", "stub=127.0.0.53:53", "app=0.0.0.0:15021");
        return network;
    }

    /// <summary>Starts what a sidecar listens on; <paramref name="kind"/> "/tproxy" for transparent inbound sockets.</summary>
    public Task<ChildProcess> StartSidecarAsync(string kind = "") => ServeAsync(
        Workload, "out=127.0.0.1:15001", "out=[::1]:15001", $"in=0.0.0.0:15006{kind}", $"in=[::]:15006{kind}",
        "dns=127.0.0.1:15053/udp", "dns=[::1]:15053/udp", "dns=127.0.0.1:15053", "dns=[::1]:15053");

    /// <summary>Starts listeners.</summary>
    public async Task<ChildProcess> ServeAsync(NetworkNamespace where, params string[] listeners)
    {
        var started = where.Start(Python, [Script("standin.py"), .. listeners]);
        running.Add(started);
        Assert.Equal("ready", await started.NextLineAsync());
        return started;
    }

    /// <summary>Runs the subcommand; its exit code and everything it says.</summary>
    public (int ExitCode, string Said) Capture(params string[] arguments)
    {
        var (code, output, error) = Workload.Try("", SidecarProgram, ["capture", .. arguments]);
        return (code, output + error);
    }

    /// <summary>Runs the subcommand and expects it to succeed.</summary>
    public string Succeed(params string[] arguments)
    {
        var (code, said) = Capture(arguments);
        Assert.True(code == 0, $"capture {string.Join(' ', arguments)} ended with {code}: {said}");
        return said;
    }

    /// <summary>What a connection from the workload's machine is told.</summary>
    public string Dial(string address, int port, params string[] options) => Dial(Workload, address, port, options);

    /// <summary>What a connection of this user from the workload's machine is told.</summary>
    public string DialAs(int uid, string address, int port, params string[] options) =>
        Dial(Workload, address, port, [.. options, $"uid={uid}"]);

    /// <summary>What a connection from the peer is told.</summary>
    public string DialFromPeer(string address, int port, params string[] options) => Dial(Peer, address, port, options);

    public async ValueTask DisposeAsync()
    {
        foreach (var process in running) await process.DisposeAsync();
        Workload.Dispose();
        Peer.Dispose();
    }

    private static string Dial(NetworkNamespace where, string address, int port, string[] options) =>
        where.Must(Python, [Script("dial.py"), address, $"{port}", .. options]).Trim();

    /// <summary>The system's own where it is there: wrappers of others cost more than the test.</summary>
    private static string Python { get; } = File.Exists("/usr/bin/python3") ? "/usr/bin/python3" : "python3";

    private static string Script(string name) => Path.Combine(Folder(), name);

    private static string Folder([CallerFilePath] string here = "") => Path.GetDirectoryName(here)!;

    /// <summary>The dialling script for a shell.</summary>
    public static string DialCommand => $"{Python} {Script("dial.py")}";

    /// <summary>The built program, of the same configuration as these tests.</summary>
    public static string SidecarProgram { get; } = Path.Combine(Folder(), "../../../artifacts/bin/Mesh.Sidecar", new DirectoryInfo(AppContext.BaseDirectory).Name, "mesh-sidecar");
}
