using System.Runtime.InteropServices;

namespace Mesh.Cli.Running;

/// <summary>
/// One <c>meshctl run</c>: the sidecar first, then the child, until the child ends; then the sidecar drains. Signals go to the child, after
/// the workload has left the mesh, so that a stop loses no request. Owned by the command.
/// </summary>
internal sealed class Run(RunOptions options, TimeProvider time)
{
    private const int MaxRestarts = 5;
    private static readonly TimeSpan RestartWindow = TimeSpan.FromMinutes(1);
    private int _signals;
    private volatile Func<int, Task> _onSignal = _ => Task.CompletedTask;

    /// <summary>Runs it all; the child's exit code.</summary>
    public async Task<int> ToEndAsync(CancellationToken cancellation)
    {
        Programs.FindCommand(options.Command[0]); // A mistyped command is told before anything starts.
        using var stopping = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        // Before there is a child a signal ends the run. From here to the end none ends this process where it stands: something would be left.
        var early = Signals.Terminate;
        _onSignal = signal =>
        {
            early = signal;
            return stopping.CancelAsync();
        };
        using var forwarding = Forward(signal =>
        {
            _signals++;
            return _onSignal(signal);
        });
        using var supervisor = Supervisor.Watch(() => _onSignal(Signals.Terminate), time);
        using var rules = options.Capture is { } terms ? new CaptureRules(terms, options) : null;
        using var log = new SidecarLog(options.SidecarLog);
        using var sidecar = new Sidecar(options, log, time);
        if (rules is not null)
            sidecar.Launched += rules.Keep;
        try
        {
            await sidecar.StartAsync(stopping.Token);
            rules?.Install();
            stopping.Token.ThrowIfCancellationRequested();
            using var child = Child.Start(rules is null ? options : options with { Command = rules.Captured(options.Command) }, sidecar.Ports);
            rules?.Keep(child.Id);
            _onSignal = signal => SignalChildAsync(signal, sidecar, child);
            if (stopping.IsCancellationRequested)
                child.Signal(early); // It came in this moment, and as what it was: one who is typed Ctrl-C at is not told to end besides.
            var guarding = GuardAsync(sidecar, child, log, stopping.Token);
            var exitCode = await child.WaitForExitAsync();
            await stopping.CancelAsync();
            return await guarding ? exitCode : 1;
        }
        finally
        {
            // The program has ended: who asks once more does not wait for what the sidecar finishes.
            _onSignal = _ =>
            {
                if (_signals > 1)
                    sidecar.Kill();
                return Task.CompletedTask;
            };
            await sidecar.StopAsync();
        }
    }

    /// <summary>Starts the sidecar again when it dies. False: it dies too often, and the child was told to end.</summary>
    private async Task<bool> GuardAsync(Sidecar sidecar, Child child, SidecarLog log, CancellationToken stopping)
    {
        var starts = new Queue<long>();
        try
        {
            while (true)
            {
                var code = await sidecar.WaitForExitAsync(stopping);
                while (starts.TryPeek(out var first) && time.GetElapsedTime(first) > RestartWindow)
                    starts.Dequeue();
                if (starts.Count == MaxRestarts)
                    return GiveUp(child, $"the sidecar ended {MaxRestarts + 1} times within {RestartWindow.TotalSeconds} s, the last time with code {code}.{log.Tail()}");
                starts.Enqueue(time.GetTimestamp());
                await Console.Error.WriteLineAsync($"meshctl: the sidecar ended with code {code} while {options.Service} runs: starting it again ({starts.Count}/{MaxRestarts})");
                await Task.Delay(TimeSpan.FromMilliseconds(100 << starts.Count), time, stopping);
                await sidecar.StartAsync(stopping);
            }
        }
        catch (OperationCanceledException)
        {
            return true; // The child has ended.
        }
        catch (CliException e)
        {
            return GiveUp(child, e.Message);
        }
    }

    private static bool GiveUp(Child child, string reason)
    {
        Console.Error.WriteLine($"meshctl: {reason}\nmeshctl: without a sidecar the program is cut off: ending it");
        child.Signal(Signals.Terminate);
        return false;
    }

    private async Task SignalChildAsync(int signal, Sidecar sidecar, Child child)
    {
        var childHasIt = signal == Signals.Interrupt && Signals.TerminalReachesChild();
        if (signal is Signals.Interrupt or Signals.Terminate && options.Ports.Count > 0)
            await sidecar.LeaveMeshAsync();
        if (!childHasIt)
            child.Signal(signal);
    }

    private static Registrations Forward(Func<int, Task> handle) => new(
    [
        PosixSignalRegistration.Create(PosixSignal.SIGINT, c => Handle(c, Signals.Interrupt, handle)),
        PosixSignalRegistration.Create(PosixSignal.SIGTERM, c => Handle(c, Signals.Terminate, handle)),
        PosixSignalRegistration.Create(PosixSignal.SIGQUIT, c => Handle(c, Signals.Quit, handle)),
        PosixSignalRegistration.Create(PosixSignal.SIGHUP, c => Handle(c, Signals.Hangup, handle)),
    ]);

    private static void Handle(PosixSignalContext context, int signal, Func<int, Task> handle)
    {
        context.Cancel = true;
        _ = handle(signal);
    }

    /// <summary>Signal handlers that end together.</summary>
    private sealed class Registrations(PosixSignalRegistration[] all) : IDisposable
    {
        public void Dispose()
        {
            foreach (var registration in all)
                registration.Dispose();
        }
    }
}
