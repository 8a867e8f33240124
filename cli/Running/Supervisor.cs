using System.Diagnostics;

namespace Mesh.Cli.Running;

/// <summary>
/// The meshctl outside of a network namespace, as the one inside sees it: when that was killed, nobody looks after this one any more, and it ends as on
/// SIGTERM. Without such a one nothing is watched. Owned by the run.
/// </summary>
internal sealed class Supervisor : IDisposable
{
    /// <summary>Tells the process inside.</summary>
    public const string Variable = "MESH_RUN_SUPERVISOR";

    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);
    private readonly CancellationTokenSource _ended = new();

    private Supervisor()
    {
    }

    /// <summary>True in a process that has one.</summary>
    public static bool IsThere => Environment.GetEnvironmentVariable(Variable) is { Length: > 0 };

    /// <summary>Makes this process the supervisor of one that is to be started.</summary>
    public static void Is(ProcessStartInfo inside) => inside.Environment[Variable] = ProcessMark.Of(Environment.ProcessId).ToString();

    /// <summary>Calls back, once, when there was one and it has gone.</summary>
    public static Supervisor Watch(Func<Task> gone, TimeProvider time)
    {
        var watch = new Supervisor();
        if (Environment.GetEnvironmentVariable(Variable) is { } text && ProcessMark.Parse(text) is { } supervisor)
            _ = watch.RunAsync(supervisor, gone, time);
        return watch;
    }

    public void Dispose()
    {
        _ended.Cancel();
        _ended.Dispose();
    }

    private async Task RunAsync(ProcessMark supervisor, Func<Task> gone, TimeProvider time)
    {
        var ended = _ended.Token;
        while (supervisor.IsAlive)
        {
            await Task.Delay(Pause, time, ended).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (ended.IsCancellationRequested)
                return;
        }

        await gone();
    }
}
