using System.Runtime.InteropServices;
using Mesh.Sidecar.Admin;

namespace Mesh.Sidecar;

/// <summary>
/// Where the process is in its life, and who asked it to end: a signal or the admin surface. Thread safe. Owned by Program.
/// The second signal ends the process at once.
/// </summary>
internal sealed class Life : IDisposable
{
    private const int Impatient = 130;
    private readonly TaskCompletionSource<string> quit = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly List<PosixSignalRegistration> signals = [];
    private volatile string draining = "";

    /// <summary>Completes with the reason when the process shall end.</summary>
    public Task<string> Ending => quit.Task;

    /// <summary>Asks for the end.</summary>
    public void Quit(string reason) => quit.TrySetResult(reason);

    /// <summary>From now on not ready any more.</summary>
    public void Drain(string reason) => draining = reason;

    /// <summary>What the readiness probe says; <paramref name="waitingFor"/> is empty when nothing is missing.</summary>
    public Readiness Readiness(string waitingFor)
    {
        if (draining.Length > 0) return Admin.Readiness.Draining(draining);
        return waitingFor.Length > 0 ? Admin.Readiness.Waiting(waitingFor) : Admin.Readiness.Live;
    }

    /// <summary>Listens to SIGTERM and SIGINT, and to SIGHUP for <paramref name="reload"/>.</summary>
    public void HearSignals(Action reload)
    {
        Hear(PosixSignal.SIGTERM, () => QuitOrDie("SIGTERM"));
        Hear(PosixSignal.SIGINT, () => QuitOrDie("SIGINT"));
        Hear(PosixSignal.SIGHUP, reload);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var signal in signals) signal.Dispose();
    }

    private void Hear(PosixSignal signal, Action act) => signals.Add(PosixSignalRegistration.Create(signal, context =>
    {
        context.Cancel = true;
        act();
    }));

    private void QuitOrDie(string signal)
    {
        if (!quit.TrySetResult(signal)) Environment.Exit(Impatient);
    }
}
