using System.Diagnostics;

namespace Mesh.Tests;

/// <summary>
/// A network namespace that exists as long as its test: own interfaces, addresses, routes and rules, loopback up. Needs root and <c>ip</c>; the
/// name carries this process's id, so what a killed test host left behind is known by it.
/// </summary>
public sealed class NetworkNamespace : IDisposable
{
    private static int count;

    private NetworkNamespace(string name) => Name = name;

    /// <summary>Name for <c>ip netns</c>.</summary>
    public string Name { get; }

    /// <summary>Makes one; skips the test, with the reason, where that cannot be.</summary>
    public static NetworkNamespace Create(string purpose)
    {
        Skip.IfNot(Environment.IsPrivilegedProcess, "network namespaces need root");
        ExternalProgram.Require("ip");
        var made = new NetworkNamespace($"mesh-{purpose}-{Environment.ProcessId}-{Interlocked.Increment(ref count)}");
        var answer = Run("ip", ["netns", "add", made.Name], "");
        Skip.If(answer.ExitCode != 0, $"no network namespaces here: {answer.Error.Trim()}");
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

    /// <summary>Runs a program in it to its end; fails when it does.</summary>
    public string Must(string program, params string[] arguments) => Must(Run("ip", Inside(program, arguments), ""));

    /// <summary>Runs a program in it to its end, with this input.</summary>
    public (int ExitCode, string Output, string Error) Try(string input, string program, params string[] arguments) => Run("ip", Inside(program, arguments), input);

    /// <summary>Starts a program in it.</summary>
    public ChildProcess Start(string program, params string[] arguments) => ChildProcess.Start("ip", Inside(program, arguments));

    public void Dispose()
    {
        // A namespace that programs still run in lives on without its name; tests end theirs first.
        foreach (var pid in Run("ip", ["netns", "pids", Name], "").Output.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            ChildProcess.Signal(int.Parse(pid, System.Globalization.CultureInfo.InvariantCulture), ChildProcess.SigKill);
        }

        Run("ip", ["netns", "del", Name], "");
    }

    private string[] Inside(string program, string[] arguments) => ["netns", "exec", Name, program, .. arguments];

    private void Address(string name, string[] addresses)
    {
        Ip($"link set {name} up");
        foreach (var address in addresses) Ip($"addr add {address} dev {name}{(address.Contains(':') ? " nodad" : "")}");
    }

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
}
