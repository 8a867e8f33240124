using Mesh.EndToEnd.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Names;

/// <summary>
/// A machine with a resolv.conf of its own whose queries rules bring to a sidecar, with a control plane on it, and a real resolver (dnsmasq) behind:
/// on a machine beside it, by IPv4 or IPv6, or as a stub on loopback.
/// </summary>
internal sealed class NamesLab : IAsyncDisposable
{
    public const string Beside = "10.9.0.2";
    public const string Beside6 = "fd00:9::2";
    public const string Stub = "127.0.0.53";

    private const string Rules = """
        apiVersion: v1
        kind: Service
        metadata: {name: cart, namespace: default}
        spec: {ports: [{name: http, port: 80, appProtocol: http}]}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: web, namespace: shop}
        spec: {clusterIP: 10.96.0.3, ports: [{name: http, port: 80, appProtocol: http}]}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: pods, namespace: default}
        spec: {clusterIP: None, ports: [{name: raw, port: 9000, appProtocol: tcp}]}
        ---
        apiVersion: discovery.k8s.io/v1
        kind: EndpointSlice
        metadata: {name: pods-1, namespace: default, labels: {kubernetes.io/service-name: pods}}
        addressType: IPv4
        ports: [{name: raw, port: 9000}]
        endpoints: [PODS]
        """;

    private readonly TemporaryFolder folder = new();
    private readonly List<ChildProcess> running = [];
    private readonly NetworkNamespace beside;

    private NamesLab()
    {
        (Machine, beside) = (NetworkNamespace.Create("names"), NetworkNamespace.Create("resolver"));
        NetworkNamespace.Connect(Machine, "e0", ["10.9.0.1/24", "fd00:9::1/64"], beside, "e1", [$"{Beside}/24", $"{Beside6}/64"]);
    }

    /// <summary>The application's machine.</summary>
    public NetworkNamespace Machine { get; }

    /// <summary>The control plane.</summary>
    public ChildProcess ControlPlane { get; private set; } = null!;

    /// <summary>The sidecar.</summary>
    public ChildProcess Sidecar { get; private set; } = null!;

    /// <summary>The real resolver.</summary>
    public ChildProcess Dnsmasq { get; private set; } = null!;

    private string ResolvConf => $"/etc/netns/{Machine.Name}/resolv.conf";

    /// <summary>Builds it, up to the rules.</summary>
    public static async Task<NamesLab> StartAsync(string resolver, int pods = 2)
    {
        foreach (var program in new[] { "dnsmasq", "dig", "setpriv", "nft", "python3" }) ExternalProgram.Require(program);
        var lab = new NamesLab();
        try
        {
            lab.Configure(resolver);
            lab.Dnsmasq = lab.Keep((resolver == Stub ? lab.Machine : lab.beside).Start("dnsmasq", Arguments(resolver)));
            await lab.StartMeshAsync(pods);
            var (code, output, error) = lab.Machine.Try("", Programs.Sidecar, "capture", "install");
            Assert.True(code == 0, output + error);
            return lab;
        }
        catch
        {
            await lab.DisposeAsync();
            throw;
        }
    }

    /// <summary>Runs a program on the machine; what it wrote, and how it ended.</summary>
    public (int Code, string Output) Run(string program, params string[] arguments)
    {
        var (code, output, error) = Machine.Try("", program, arguments);
        return (code, (output + error).Trim());
    }

    /// <summary>What dig says, in short.</summary>
    public string Dig(params string[] arguments) => Run("dig", ["+short", .. arguments]).Output;

    /// <summary>A page of the sidecar's admin surface.</summary>
    public string Admin(string path) => Fetch($"http://127.0.0.1:15000{path}");

    public async ValueTask DisposeAsync()
    {
        foreach (var process in running) await process.DisposeAsync();
        Machine.Dispose();
        beside.Dispose();
        if (File.Exists(ResolvConf)) Directory.Delete(Path.GetDirectoryName(ResolvConf)!, recursive: true);
        folder.Dispose();
    }

    /// <summary>What the real resolver knows: a host of two families, an alias, a host of the search domain, and an answer too long for a datagram.</summary>
    private static string[] Arguments(string listen) =>
    [
        "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--user=root", "--pid-file", "--bind-interfaces", $"--listen-address={listen}",
        "--local=/test/", "--local=/local/", "--local=/consul/", "--local=/svc/", "--local=/default/", "--local=//",
        "--host-record=www.example.test,192.0.2.80,2001:db8::80", "--cname=alias.example.test,www.example.test", "--host-record=intra.corp.test,192.0.2.81",
        .. Enumerable.Range(0, 20).Select(i => $"--txt-record=long.example.test,{new string((char)('a' + i), 200)}"),
    ];

    private void Configure(string resolver)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(ResolvConf)!);
        File.WriteAllText(ResolvConf, $"nameserver {resolver}\nsearch corp.test\noptions timeout:3\n");
    }

    private async Task StartMeshAsync(int pods)
    {
        Directory.CreateDirectory(folder["rules"]);
        var endpoints = string.Join(", ", Enumerable.Range(0, pods).Select(i => $"{{addresses: [10.1.{i / 200}.{(i % 200) + 1}], conditions: {{ready: true}}}}"));
        await File.WriteAllTextAsync(folder["rules/shop.yaml"], Rules.Replace("PODS", endpoints, StringComparison.Ordinal));
        ControlPlane = Keep(Machine.Start(Programs.ControlPlane, "--rules", folder["rules"], "--data", folder["data"], "--mesh-api", "127.0.0.1:15012"));
        var token = "";
        await Eventually.PassesAsync(() =>
        {
            ControlPlane.MustRun();
            var (code, output, error) = Machine.Try("", Programs.Meshctl, "token", "create", "--identity", "ns/default/sa/client", "--operators-token-file", folder["data/" + Mesh.Api.Operators.OperatorsFiles.AdminToken]);
            Assert.True(code == 0, output + error + ControlPlane.Output);
            token = output.Trim();
            return Task.CompletedTask;
        });
        Sidecar = Keep(ChildProcess.Start("ip",
            [
                "netns", "exec", Machine.Name, "setpriv", "--reuid", "1337", "--regid", "1337", "--clear-groups",
                Programs.Sidecar, "--control-plane", "127.0.0.1:15012", "--service", "client", "--capture", "redirect",
            ], ("MESH_JOIN_TOKEN", token)));
        await Eventually.PassesAsync(() =>
        {
            Sidecar.MustRun();
            Assert.Contains("LIVE", Fetch("http://127.0.0.1:15000/ready"), StringComparison.Ordinal);
            return Task.CompletedTask;
        }, 60);
    }

    private string Fetch(string url) =>
        Run("/usr/bin/python3", "-c", $"import urllib.request; print(urllib.request.urlopen('{url}', timeout=5).read().decode())").Output;

    private ChildProcess Keep(ChildProcess process)
    {
        running.Add(process);
        return process;
    }
}
