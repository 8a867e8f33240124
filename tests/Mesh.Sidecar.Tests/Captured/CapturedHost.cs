using System.Net;
using System.Net.Sockets;
using System.Text;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests.Captured;

/// <summary>
/// A host whose traffic is captured by rules, with a sidecar on it that serves a static file (10.77.0.2, fd77::2), and a world beside it
/// (10.77.0.1, fd77::1, the way to everywhere else). The sidecar is user 1337, the application is root.
/// </summary>
internal sealed class CapturedHost : IAsyncDisposable
{
    public const string Redirect = """
        table inet mesh {
          chain outbound { type nat hook output priority -100; meta skuid 1337 return; oifname lo return; meta l4proto tcp redirect to :15001; }
          chain inbound { type nat hook prerouting priority -100; iifname lo return; meta l4proto tcp redirect to :15006; }
        }
        """;

    private readonly TemporaryFolder folder = new();
    private readonly List<IDisposable> closing = [];
    private ChildProcess? process;

    public NetworkNamespace Host { get; } = NetworkNamespace.Create("host");

    public NetworkNamespace World { get; } = NetworkNamespace.Create("world");

    /// <summary>What the sidecar logged.</summary>
    public string Output => process?.Output ?? "";

    /// <summary>Descriptors that the sidecar has open.</summary>
    public int Descriptors => Directory.GetFileSystemEntries($"/proc/{process!.Id}/fd").Length;

    /// <summary>What the sidecar has in memory.</summary>
    public int ResidentMegabytes => int.Parse(
        File.ReadLines($"/proc/{process!.Id}/status").First(l => l.StartsWith("VmRSS:", StringComparison.Ordinal)).Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], System.Globalization.CultureInfo.InvariantCulture) / 1024;

    public static async Task<CapturedHost> StartAsync(string yaml, string rules = Redirect, params string[] arguments)
    {
        var made = new CapturedHost();
        try
        {
            NetworkNamespace.Connect(made.Host, "eth0", ["10.77.0.2/24", "fd77::2/64"], made.World, "eth0", ["10.77.0.1/24", "fd77::1/64"]);
            made.Host.Ip("route add default via 10.77.0.1");
            made.Host.Ip("route add default via fd77::1");
            made.Host.Nft(rules);
            await made.LaunchAsync(yaml, arguments);
            return made;
        }
        catch
        {
            await made.DisposeAsync();
            throw;
        }
    }

    /// <summary>A server in the world.</summary>
    public Peer Serve(string address, int port, bool speaksFirst = true) => Keep(new Peer(World, address, port, speaksFirst));

    public T Keep<T>(T one)
        where T : IDisposable
    {
        closing.Add(one);
        return one;
    }

    /// <summary>Connects as the application does.</summary>
    public Task<Socket> DialAsync(string address, int port) => DialAsync(Host, address, port);

    public async Task<Socket> DialAsync(NetworkNamespace from, string address, int port)
    {
        var to = new IPEndPoint(IPAddress.Parse(address), port);
        var socket = Keep(from.Socket(to.AddressFamily));
        using var bound = new CancellationTokenSource(TimeSpan.FromSeconds(10));
        await socket.ConnectAsync(to, bound.Token);
        return socket;
    }

    public static async Task SendAsync(Socket socket, string bytes) => await socket.SendAsync(Encoding.Latin1.GetBytes(bytes));

    /// <summary>What the sidecar counts.</summary>
    public async Task<string> MetricsAsync() => await TalkAsync(await DialAsync("127.0.0.1", 15020), "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");

    /// <summary>Sends, and reads until the other side has said <paramref name="until"/> or has ended.</summary>
    public static async Task<string> TalkAsync(Socket socket, string send, string? until = null)
    {
        using var bound = new CancellationTokenSource(TimeSpan.FromSeconds(10));
        if (send.Length > 0) await socket.SendAsync(Encoding.Latin1.GetBytes(send), bound.Token);
        var text = new StringBuilder();
        var buffer = new byte[8192];
        while (until is null || !text.ToString().Contains(until, StringComparison.Ordinal))
        {
            var count = await socket.ReceiveAsync(buffer, bound.Token);
            if (count == 0) break;
            text.Append(Encoding.Latin1.GetString(buffer, 0, count));
        }

        return text.ToString();
    }

    /// <summary>One request on a connection of its own to wherever it is meant to go.</summary>
    public async Task<string> AskAsync(string address, int port, string host, string target = "/")
    {
        var socket = await DialAsync(address, port);
        return await TalkAsync(socket, $"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    }

    /// <summary>Makes the sidecar read another file.</summary>
    public async Task ChangeAsync(string yaml)
    {
        await File.WriteAllTextAsync(folder["mesh.yaml"], yaml);
        process!.Signal(1);
        await Eventually.TrueAsync(() => Output.Contains("configuration read again", StringComparison.Ordinal), () => Output);
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var one in closing) one.Dispose();
        if (process is not null) await process.DisposeAsync();
        Host.Dispose();
        World.Dispose();
        folder.Dispose();
    }

    private async Task LaunchAsync(string yaml, string[] arguments)
    {
        var file = folder["mesh.yaml"];
        await File.WriteAllTextAsync(file, yaml);
        File.SetUnixFileMode(Path.GetDirectoryName(file)!, (UnixFileMode)0b111_101_101);
        var sidecar = Path.Combine(AppContext.BaseDirectory, "mesh-sidecar");
        process = ChildProcess.Start("ip", [
            "netns", "exec", Host.Name, "setpriv", "--reuid", "1337", "--regid", "1337", "--clear-groups", "--inh-caps", "+net_admin", "--ambient-caps", "+net_admin",
            sidecar, "--static", file, "--outbound", "off", "--access-log", "all", .. arguments,
        ]);
        await Eventually.TrueAsync(() => Output.Contains(" started ", StringComparison.Ordinal) || process.HasExited, () => Output);
        process.MustRun();
    }
}
