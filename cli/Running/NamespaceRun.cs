using System.Diagnostics;
using System.Runtime.InteropServices;
using Mesh.Cli.Operators;

namespace Mesh.Cli.Running;

/// <summary>
/// <c>meshctl run --capture</c> in a network namespace of its own: makes the namespace, then starts meshctl again inside, which captures what is there.
/// What loopback is in there is another one: the way to a control plane on this host's is relayed, and the join token is made out here. Owned by the command.
/// </summary>
internal sealed class NamespaceRun(IReadOnlyList<string> arguments, string controlPlane)
{
    private static readonly string[] Replaced = ["--control-plane", "--address", "--token-file"];
    private readonly Lock _passing = new();
    private readonly CancellationTokenSource _interrupted = new();
    private Process? _inside;

    /// <summary>Runs it all; the program's exit code.</summary>
    /// <param name="join">How a workload with these addresses joins.</param>
    /// <param name="cancellation">Ends the wait for the join token.</param>
    public async Task<int> ToEndAsync(Func<IReadOnlyList<string>, Joining> join, CancellationToken cancellation)
    {
        if (!Environment.IsPrivilegedProcess)
            throw new CliException("--capture needs root: it makes a network namespace and sets rules of the kernel");
        if (controlPlane.StartsWith("unix:", StringComparison.OrdinalIgnoreCase))
            throw new CliException("--capture: a network namespace needs a control plane with an address, not a Unix socket");
        // From here to the end no signal ends this process where it stands: the namespace would be left.
        using var stopping = CancellationTokenSource.CreateLinkedTokenSource(cancellation, _interrupted.Token);
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, c => Pass(c, Signals.Interrupt));
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, c => Pass(c, Signals.Terminate));
        using var quit = PosixSignalRegistration.Create(PosixSignal.SIGQUIT, c => Pass(c, Signals.Quit));
        using var hangup = PosixSignalRegistration.Create(PosixSignal.SIGHUP, c => Pass(c, Signals.Hangup));
        var number = RunNetwork.Join();
        try
        {
            using var relay = Relay.Loopback(controlPlane) is { } loopback ? new Relay(RunNetwork.HostAddress, loopback, RunNetwork.Address(number)) : null;
            // Both granted: over the relay, or to a control plane with IPv4 alone, no connection could prove the second.
            using var joining = join([RunNetwork.Address(number), RunNetwork.Address6(number)]);
            return await RunInsideAsync(number, relay is null ? controlPlane : Scheme + relay.Address, await joining.TokenAsync(again: false, stopping.Token));
        }
        finally
        {
            RunNetwork.Leave(number);
        }
    }

    private string Scheme => controlPlane.Contains("://", StringComparison.Ordinal) ? controlPlane[..(controlPlane.IndexOf("://", StringComparison.Ordinal) + 3)] : "";

    private async Task<int> RunInsideAsync(int number, string reachedAt, string? joinToken)
    {
        var start = new ProcessStartInfo("ip", ["netns", "exec", RunNetwork.Name(number), Environment.ProcessPath!, .. Rewrite(arguments, reachedAt, RunNetwork.Address(number))])
        {
            UseShellExecute = false,
        };
        start.Environment[JoinTokens.Variable] = joinToken; // Null removes it.
        Supervisor.Is(start);
        using var inside = Process.Start(start) ?? throw new CliException("ip netns exec did not start");
        lock (_passing) _inside = inside;
        if (_interrupted.IsCancellationRequested)
            Signals.Send(inside.Id, Signals.Terminate);
        await inside.WaitForExitAsync(CancellationToken.None);
        lock (_passing) _inside = null;
        return inside.ExitCode;
    }

    /// <summary>The same command line for inside: captured there, under this address, with the control plane where it is reached from there.</summary>
    internal static IReadOnlyList<string> Rewrite(IReadOnlyList<string> arguments, string controlPlane, string address)
    {
        List<string> kept = [];
        for (var i = 0; i < arguments.Count; i++)
        {
            var argument = arguments[i];
            if (argument == "--")
            {
                kept.AddRange(arguments.Skip(i));
                break;
            }

            if (argument == "--capture")
            {
                if (i + 1 < arguments.Count && CaptureTerms.Parse(arguments[i + 1]) is { Terms: not null })
                    i++;
            }
            else if (Array.Exists(Replaced, name => argument == name))
            {
                i++;
            }
            else if (!argument.StartsWith("--capture=", StringComparison.Ordinal) && !Array.Exists(Replaced, name => argument.StartsWith(name + "=", StringComparison.Ordinal)))
            {
                kept.Add(argument);
            }
        }

        kept.InsertRange(1, ["--capture=here", $"--control-plane={controlPlane}", $"--address={address}"]);
        return kept;
    }

    /// <summary>The terminal's signals reach it by themselves; it decides what they mean.</summary>
    private void Pass(PosixSignalContext context, int signal)
    {
        context.Cancel = true;
        lock (_passing)
        {
            _interrupted.Cancel();
            if (_inside is not { HasExited: false } inside || (signal == Signals.Interrupt && Signals.TerminalReachesChild()))
                return;
            Signals.Send(inside.Id, signal);
        }
    }
}
