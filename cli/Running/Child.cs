using System.Diagnostics;
using Mesh.Cli.Operators;

namespace Mesh.Cli.Running;

/// <summary>The program that was put into the mesh. It has the terminal: input and output pass through untouched. Owned by the run.</summary>
internal sealed class Child : IDisposable
{
    private readonly Process _process;

    private Child(Process process) => _process = process;

    /// <summary>Number of its process.</summary>
    public int Id => _process.Id;

    public static Child Start(RunOptions options, BoundPorts ports)
    {
        var start = new ProcessStartInfo(Programs.FindCommand(options.Command[0])) { UseShellExecute = false };
        foreach (var argument in options.Command.Skip(1))
            start.ArgumentList.Add(argument);
        foreach (var secret in OperatorsToken.SecretVariables.Append(JoinTokens.Variable).Append(Supervisor.Variable))
            start.Environment.Remove(secret);
        foreach (var (name, value) in ChildEnvironment.Of(options, ports, Environment.GetEnvironmentVariable))
            start.Environment[name] = value;
        if (options.Capture is not null)
            start.Environment[RunRecord.Variable] = RunRecord.Name;
        try
        {
            return new Child(Process.Start(start)!);
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            throw new CliException($"{options.Command[0]}: {e.Message}", 126);
        }
    }

    /// <summary>Completes with its exit code when it ends: 128 and the signal's number when a signal ended it.</summary>
    public async Task<int> WaitForExitAsync()
    {
        await _process.WaitForExitAsync();
        return _process.ExitCode;
    }

    public void Signal(int signal)
    {
        if (!_process.HasExited)
            Signals.Send(_process.Id, signal);
    }

    public void Dispose() => _process.Dispose();
}
