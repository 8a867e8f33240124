using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Testbed.Network;

/// <summary>
/// One machine of a <see cref="NetworkTestbed"/>, which owns it. Programs run in it as a user of their own, sockets of the test can be made in it, its
/// cable can be cut, and packets be lost or answered by resets. Safe from any thread; what was started ends with it.
/// </summary>
internal sealed class NetworkHost : IAsyncDisposable
{
    /// <summary>The user that applications run as.</summary>
    public const int AppUser = 1000;

    private static readonly string[] NoProxies = ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"];
    private readonly NetworkTestbed bed;
    private readonly List<IAsyncDisposable> running = [];
    private int faults;

    public NetworkHost(string name, NetworkTestbed bed, IReadOnlyList<string> addresses, IReadOnlyList<string> addresses6)
    {
        (Name, this.bed, Addresses, Addresses6) = (name, bed, addresses, addresses6);
        Namespace = NetworkNamespace.Create(name);
    }

    /// <summary>Name.</summary>
    public string Name { get; }

    /// <summary>Its network namespace.</summary>
    public NetworkNamespace Namespace { get; }

    /// <summary>Its IPv4 addresses.</summary>
    public IReadOnlyList<string> Addresses { get; }

    /// <summary>Its IPv6 addresses.</summary>
    public IReadOnlyList<string> Addresses6 { get; }

    /// <summary>The first IPv4 address.</summary>
    public string Address => Addresses[0];

    /// <summary>The first IPv6 address.</summary>
    public string Address6 => Addresses6[0];

    /// <summary>Starts a program as a user; without privileges unless that is root. It ends with the machine.</summary>
    public ChildProcess Start(int user, string program, IEnumerable<string> arguments, params (string Name, string? Value)[] environment)
    {
        var started = ChildProcess.Start("ip", AsUser(user, program, arguments), [.. NoProxies.Select(n => (n, (string?)null)), .. environment]);
        lock (running) running.Add(started);
        return started;
    }

    /// <summary>Lets something end with the machine.</summary>
    public T Own<T>(T one)
        where T : IAsyncDisposable
    {
        lock (running) running.Add(one);
        return one;
    }

    /// <summary>Starts a program as an application, once it says <paramref name="ready"/>.</summary>
    public async Task<ChildProcess> ServeAsync(string ready, string program, params string[] arguments)
    {
        var started = Start(AppUser, program, arguments);
        await Eventually.HoldsAsync(() => started.HasExited || started.Output.Contains(ready, StringComparison.Ordinal), $"{program} says \"{ready}\"");
        started.MustRun();
        return started;
    }

    /// <summary>Runs a program as an application to its end.</summary>
    public Task<Ran> RunAsync(string program, params string[] arguments) => RunAsync(AppUser, "", program, arguments);

    /// <summary>Runs a program as a user to its end, with this input.</summary>
    public async Task<Ran> RunAsync(int user, string input, string program, params string[] arguments)
    {
        var start = new ProcessStartInfo("ip", AsUser(user, program, arguments))
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
            StandardInputEncoding = Encoding.Latin1,
        };
        foreach (var name in NoProxies) start.Environment.Remove(name);
        using var process = Process.Start(start)!;
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(120));
        try
        {
            var (output, error) = (process.StandardOutput.ReadToEndAsync(limit.Token), process.StandardError.ReadToEndAsync(limit.Token));
            await process.StandardInput.WriteAsync(input);
            process.StandardInput.Close();
            await process.WaitForExitAsync(limit.Token);
            return new Ran(process.ExitCode, await output, await error);
        }
        catch (OperationCanceledException e)
        {
            process.Kill(entireProcessTree: true);
            throw new TimeoutException($"{program} {string.Join(' ', arguments)} on {Name} did not end", e);
        }
    }

    /// <summary>Runs a program as root to its end; fails with what it said when it does.</summary>
    public async Task<string> MustAsync(string program, params string[] arguments)
    {
        var ran = await RunAsync(0, "", program, arguments);
        Assert.True(ran.Code == 0, $"{program} {string.Join(' ', arguments)} on {Name} ended with {ran.Code}: {ran.Error}{ran.Output}");
        return ran.Output;
    }

    /// <summary>curl as an application: the body, behind it a line with the code.</summary>
    public async Task<Ran> CurlAsync(params string[] arguments)
    {
        ExternalProgram.Require("curl");
        return await RunAsync("curl", ["-sS", "--max-time", "20", "-w", "\n%{http_code}", .. arguments]);
    }

    /// <summary>A connection from this machine to an address or, by this machine's resolver, a name. The caller disposes it.</summary>
    public async Task<Socket> ConnectAsync(string address, int port, double seconds = 10)
    {
        var to = new IPEndPoint(IPAddress.TryParse(address, out var known) ? known : await ResolveAsync(address), port);
        var socket = Namespace.Socket(to.AddressFamily);
        try
        {
            using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(seconds));
            await socket.ConnectAsync(to, limit.Token);
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>A listening socket on this machine, on every address of both families. The caller disposes it.</summary>
    public Socket Listen(int port) => Namespace.Inside(() =>
    {
        var socket = new Socket(AddressFamily.InterNetworkV6, SocketType.Stream, ProtocolType.Tcp) { DualMode = true };
        socket.Bind(new IPEndPoint(IPAddress.IPv6Any, port));
        socket.Listen(512);
        return socket;
    });

    /// <summary>An HTTP client whose connections are this machine's. The caller disposes it.</summary>
    public HttpClient Http() => new(new SocketsHttpHandler
    {
        UseProxy = false,
        ConnectCallback = async (context, _) => new NetworkStream(await ConnectAsync(context.DnsEndPoint.Host, context.DnsEndPoint.Port), ownsSocket: true),
    })
    {
        Timeout = TimeSpan.FromSeconds(20),
    };

    /// <summary>Pulls the cable, until the answer is disposed.</summary>
    public IDisposable Cut()
    {
        bed.Router.Ip($"link set {Name} down");
        return new Mended(() => bed.Router.Ip($"link set {Name} up"));
    }

    /// <summary>Loses packets of this machine at the switch, in both directions, until the answer is disposed.</summary>
    /// <param name="match">Which, as nft says it: <c>tcp dport 80</c>; empty for all.</param>
    public IDisposable Drop(string match)
    {
        var table = $"drop{Interlocked.Increment(ref faults)}{Name}";
        bed.Router.Nft($"table bridge {table} {{ chain in {{ type filter hook prerouting priority -300; iifname \"{Name}\" {match} drop; }}; chain out {{ type filter hook postrouting priority 300; oifname \"{Name}\" {match} drop; }}; }}");
        return new Mended(() => bed.Router.Nft($"delete table bridge {table}"));
    }

    /// <summary>Answers packets that come to this machine by resets, until the answer is disposed.</summary>
    /// <param name="match">Which, as nft says it: <c>tcp dport 80</c>.</param>
    public IDisposable Reset(string match)
    {
        var table = $"reset{Interlocked.Increment(ref faults)}";
        Namespace.Nft($"table inet {table} {{ chain in {{ type filter hook input priority -200; {match} reject with tcp reset; }}; }}");
        return new Mended(() => Namespace.Nft($"delete table inet {table}"));
    }

    public async ValueTask DisposeAsync()
    {
        IAsyncDisposable[] all;
        lock (running) all = [.. Enumerable.Reverse(running)];
        foreach (var one in all) await one.DisposeAsync();
        Namespace.Dispose();
    }

    private async Task<IPAddress> ResolveAsync(string name)
    {
        var said = await RunAsync("getent", "ahosts", name);
        Assert.True(said.Code == 0, $"{Name} does not know {name}: {said.All}");
        return IPAddress.Parse(said.Output.Split(' ')[0]);
    }

    private string[] AsUser(int user, string program, IEnumerable<string> arguments) => user == 0
        ? Namespace.Inside(program, arguments)
        : Namespace.Inside("setpriv", ["--reuid", $"{user}", "--regid", $"{user}", "--clear-groups", program, .. arguments]);

    /// <summary>Undoes something once.</summary>
    private sealed class Mended(Action mend) : IDisposable
    {
        private Action? left = mend;

        public void Dispose() => Interlocked.Exchange(ref left, null)?.Invoke();
    }
}

/// <summary>A program that has ended.</summary>
internal sealed record Ran(int Code, string Output, string Error)
{
    /// <summary>Everything it said.</summary>
    public string All => $"code {Code}: {Output}{Error}";

    /// <summary>What came before the last line (which curl was told to make the HTTP code).</summary>
    public string Body => Output.LastIndexOf('\n') is >= 0 and var end ? Output[..end] : "";

    /// <summary>The last line.</summary>
    public string Status => Output[(Output.LastIndexOf('\n') + 1)..];
}
