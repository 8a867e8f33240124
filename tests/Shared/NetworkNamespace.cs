using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;
using Microsoft.Win32.SafeHandles;

namespace Mesh.Tests;

/// <summary>
/// A network namespace that exists as long as its test: own interfaces, addresses, routes and rules, loopback up, and its own <c>resolv.conf</c> if
/// it is given one. Needs root and <c>ip</c>. The name carries this process's id: what a killed test host left behind is known by it, and is
/// removed when the next one makes its first.
/// </summary>
public sealed partial class NetworkNamespace : IDisposable
{
    private const int NetworkNamespaces = 0x40000000; // CLONE_NEWNET
    private const string Names = "/run/netns";
    private const string Files = "/etc/netns";
    private static readonly Lazy<string?> Obstacle = new(FindObstacle);
    private static int count;

    private NetworkNamespace(string name) => Name = name;

    /// <summary>Name for <c>ip netns</c>.</summary>
    public string Name { get; }

    /// <summary>Why there can be none here; null when there can.</summary>
    public static string? Missing => Obstacle.Value;

    /// <summary>Makes one; skips the test, with the reason, where that cannot be.</summary>
    public static NetworkNamespace Create(string purpose)
    {
        Skip.If(Missing is not null, Missing ?? "");
        var made = new NetworkNamespace($"mesh-{purpose}-{Environment.ProcessId}-{Interlocked.Increment(ref count)}");
        Must(Run("ip", ["netns", "add", made.Name], ""));
        made.Ip("link set lo up");
        return made;
    }

    /// <summary>Connects two namespaces by a cable, with these addresses ("10.9.0.1/24") at either end; the interfaces are called as said.</summary>
    public static void Connect(NetworkNamespace one, string oneInterface, string[] oneAddresses, NetworkNamespace other, string otherInterface, string[] otherAddresses)
    {
        Must(Run("ip", ["link", "add", oneInterface, "netns", one.Name, "type", "veth", "peer", "name", otherInterface, "netns", other.Name], ""));
        one.Address(oneInterface, oneAddresses);
        other.Address(otherInterface, otherAddresses);
    }

    /// <summary>Runs <c>ip</c> about this namespace; fails when it does.</summary>
    public string Ip(string arguments) => Must(Run("ip", ["-n", Name, .. arguments.Split(' ')], ""));

    /// <summary>Runs several <c>ip</c> commands about this namespace, one a line, in one go; fails when one does.</summary>
    public void IpAll(IEnumerable<string> commands) => Must(Run("ip", ["-n", Name, "-batch", "-"], string.Join('\n', commands) + "\n"));

    /// <summary>Takes nft rules; fails when they are refused.</summary>
    public void Nft(string rules) => Must(Run("ip", Inside("nft", ["-f", "-"]), rules));

    /// <summary>Gives programs in it a resolv.conf of their own.</summary>
    public void WriteResolvConf(string text)
    {
        Directory.CreateDirectory(Path.Combine(Files, Name));
        File.WriteAllText(Path.Combine(Files, Name, "resolv.conf"), text);
    }

    /// <summary>Gives programs in it a table of names of their own.</summary>
    public void WriteHosts(string text)
    {
        Directory.CreateDirectory(Path.Combine(Files, Name));
        File.WriteAllText(Path.Combine(Files, Name, "hosts"), text);
    }

    /// <summary>Runs a program in it to its end; fails when it does.</summary>
    public string Must(string program, params string[] arguments) => Must(Run("ip", Inside(program, arguments), ""));

    /// <summary>Runs a program in it to its end, with this input.</summary>
    public (int ExitCode, string Output, string Error) Try(string input, string program, params string[] arguments) => Run("ip", Inside(program, arguments), input);

    /// <summary>Starts a program in it.</summary>
    public ChildProcess Start(string program, params string[] arguments) => ChildProcess.Start("ip", Inside(program, arguments));

    /// <summary>The command line that runs a program in it: the process becomes that program.</summary>
    public string[] Inside(string program, IEnumerable<string> arguments) => ["netns", "exec", Name, program, .. arguments];

    /// <summary>Does something on a thread inside: a socket made there belongs to the namespace for good.</summary>
    public T Inside<T>(Func<T> make)
    {
        var made = default(T);
        Exception? failed = null;
        var thread = new Thread(() =>
        {
            try
            {
                using var handle = File.OpenHandle(Path.Combine(Names, Name));
                if (SetNamespace(handle, NetworkNamespaces) != 0) throw new IOException($"cannot enter {Name}: error {Marshal.GetLastPInvokeError()}");
                made = make();
            }
            catch (Exception e)
            {
                failed = e;
            }
        });
        thread.Start();
        thread.Join();
        return failed is null ? made! : throw new IOException(failed.Message, failed);
    }

    /// <summary>A TCP socket of the namespace.</summary>
    public Socket Socket(AddressFamily family) => Inside(() => new Socket(family, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true });

    public void Dispose() => Remove(Name);

    private static void Remove(string name)
    {
        // A namespace that programs still run in lives on without its name; tests end theirs first.
        foreach (var pid in Run("ip", ["netns", "pids", name], "").Output.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            ChildProcess.Signal(int.Parse(pid, CultureInfo.InvariantCulture), ChildProcess.SigKill);
        }

        Run("ip", ["netns", "del", name], "");
        if (Directory.Exists(Path.Combine(Files, name))) Directory.Delete(Path.Combine(Files, name), recursive: true);
    }

    /// <summary>Removes what test hosts that are no more could not remove.</summary>
    private static void RemoveLeftovers()
    {
        foreach (var folder in (string[])[Names, Files])
        {
            if (!Directory.Exists(folder)) continue;
            foreach (var name in Directory.EnumerateFileSystemEntries(folder).Select(Path.GetFileName).OfType<string>())
            {
                if (NameOfTest().Match(name) is { Success: true } match && !Directory.Exists($"/proc/{match.Groups[1].Value}")) Remove(name);
            }
        }
    }

    private static string? FindObstacle()
    {
        if (!Environment.IsPrivilegedProcess) return "network namespaces need root";
        if (new[] { "ip", "nft", "setpriv" }.FirstOrDefault(p => ExternalProgram.Find(p) is null) is { } absent) return $"no {absent}: network tests need it (Debian packages iproute2, nftables, util-linux)";
        RemoveLeftovers();
        var name = $"mesh-probe-{Environment.ProcessId}-0";
        var answer = Run("ip", ["netns", "add", name], "");
        if (answer.ExitCode != 0) return $"no network namespaces here: {answer.Error.Trim()}";
        Remove(name);
        return null;
    }

    private void Address(string name, string[] addresses) =>
        IpAll(addresses.Select(address => $"addr add {address} dev {name}{(address.Contains(':') ? " nodad" : "")}").Prepend($"link set {name} up"));

    private static string Must((int ExitCode, string Output, string Error) answer) =>
        answer.ExitCode == 0 ? answer.Output : throw new InvalidOperationException($"ended with {answer.ExitCode}: {answer.Error}{answer.Output}");

    private static (int ExitCode, string Output, string Error) Run(string program, string[] arguments, string input)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false };
        using var process = Process.Start(start)!;
        var (output, error) = (process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
        process.StandardInput.Write(input);
        process.StandardInput.Close();
        if (!process.WaitForExit(TimeSpan.FromSeconds(60)))
        {
            process.Kill(entireProcessTree: true);
            throw new TimeoutException($"{program} {string.Join(' ', arguments)} did not end");
        }

        return (process.ExitCode, output.Result, error.Result);
    }

    [GeneratedRegex(@"^mesh-[a-z0-9-]*?-?(\d+)-\d+$")]
    private static partial Regex NameOfTest();

    [DllImport("libc", EntryPoint = "setns", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int SetNamespace(SafeFileHandle handle, int kind);
}
