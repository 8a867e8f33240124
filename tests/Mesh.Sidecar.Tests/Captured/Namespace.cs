using System.Diagnostics;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Mesh.Sidecar.Tests.Captured;

/// <summary>A network namespace of a test. Sockets made inside stay in it, whoever uses them.</summary>
internal sealed class Namespace : IDisposable
{
    private const int NetworkNamespaces = 0x40000000; // CLONE_NEWNET
    private static int count;

    public Namespace()
    {
        Name = $"mesh-od-{Environment.ProcessId}-{Interlocked.Increment(ref count)}";
        Run("ip", "netns", "add", Name);
        Ip("link set lo up");
    }

    public string Name { get; }

    /// <summary>Why there can be none here; null when there can.</summary>
    public static string? Missing { get; } = FindMissing();

    /// <summary>Connects two namespaces.</summary>
    public static void Connect(Namespace left, string leftAddresses, Namespace right, string rightAddresses)
    {
        Run("ip", "link", "add", "eth0", "netns", left.Name, "type", "veth", "peer", "name", "eth0", "netns", right.Name);
        foreach (var (one, addresses) in new[] { (left, leftAddresses), (right, rightAddresses) })
        {
            foreach (var address in addresses.Split(' ')) one.Ip($"addr add {address} dev eth0{(address.Contains(':', StringComparison.Ordinal) ? " nodad" : "")}");
            one.Ip("link set eth0 up");
        }
    }

    public void Ip(string arguments) => Run("ip", ["-n", Name, .. arguments.Split(' ')]);

    /// <summary>Takes nft rules.</summary>
    public void Nft(string rules) => Pipe(rules, "ip", "netns", "exec", Name, "nft", "-f", "-");

    /// <summary>Does something on a thread inside: a socket made there belongs to the namespace.</summary>
    public T Inside<T>(Func<T> make)
    {
        T? made = default;
        Exception? failed = null;
        var thread = new Thread(() =>
        {
            try
            {
                using var handle = File.OpenHandle($"/run/netns/{Name}");
                if (SetNamespace(handle, NetworkNamespaces) != 0) throw new IOException($"cannot enter {Name}: {Marshal.GetLastPInvokeError()}");
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

    /// <summary>A socket of the namespace.</summary>
    public Socket Socket(AddressFamily family) => Inside(() => new Socket(family, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true });

    public void Dispose()
    {
        using var process = Process.Start(new ProcessStartInfo("ip", ["netns", "del", Name]) { RedirectStandardError = true, UseShellExecute = false });
        process!.WaitForExit();
    }

    public static void Run(string program, params string[] arguments) => Pipe("", program, arguments);

    private static void Pipe(string input, string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardInput = true, RedirectStandardError = true, UseShellExecute = false })!;
        process.StandardInput.Write(input);
        process.StandardInput.Close();
        var error = process.StandardError.ReadToEnd();
        process.WaitForExit();
        if (process.ExitCode != 0) throw new IOException($"{program} {string.Join(' ', arguments)}: {error}\n{input}");
    }

    private static string? FindMissing()
    {
        if (!Environment.IsPrivilegedProcess) return "network namespaces need root";
        foreach (var program in new[] { "ip", "nft", "setpriv" })
        {
            if (!new[] { "/usr/sbin", "/usr/bin", "/sbin", "/bin" }.Any(d => File.Exists(Path.Combine(d, program)))) return $"{program} is not installed";
        }

        return null;
    }

    [DllImport("libc", EntryPoint = "setns", SetLastError = true)]
    private static extern int SetNamespace(SafeFileHandle handle, int kind);
}
