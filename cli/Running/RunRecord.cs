namespace Mesh.Cli.Running;

/// <summary>
/// What a captured run has that outlives it when it is killed: rules, the sidecar, the program, a cgroup. Kept in /run, one file for each network
/// namespace, so that the next run there can take it away. A namespace made for the run needs none: it goes with all that is in it. Owned by the run.
/// </summary>
internal sealed class RunRecord : IDisposable
{
    /// <summary>Told to the processes of a run, which their environment is then known by.</summary>
    public const string Variable = "MESH_RUN";

    private const string Folder = "/run/mesh-run";
    private readonly string? _file;
    private readonly string? _group;
    private readonly List<ProcessMark> _processes;

    private RunRecord(string? file, string? group)
    {
        (_file, _group) = (file, group);
        _processes = [ProcessMark.Of(Environment.ProcessId)!.Value];
        Write();
    }

    /// <summary>Takes away what a killed run left here, and begins a record; a <see cref="CliException"/> when a run captures here and lives.</summary>
    /// <param name="sidecar">The program that removes rules.</param>
    /// <param name="group">Name of the cgroup that this run makes; null: none.</param>
    public static RunRecord Begin(string sidecar, string? group)
    {
        if (Supervisor.IsThere)
            return new RunRecord(null, null);
        Directory.CreateDirectory(Folder);
        var file = Path.Combine(Folder, $"rules-{RunNetwork.Here}");
        if (File.Exists(file))
            TakeAway(file, sidecar);
        return new RunRecord(file, group);
    }

    /// <summary>The value of <see cref="Variable"/> for processes of this run.</summary>
    public static string Name => ProcessMark.Of(Environment.ProcessId).ToString()!;

    /// <summary>Adds a process that is to end with the run.</summary>
    public void Add(int process)
    {
        if (ProcessMark.Of(process) is not { } mark)
            return;
        lock (_processes)
        {
            _processes.Add(mark);
            Write();
        }
    }

    /// <summary>Nothing is left.</summary>
    public void Dispose()
    {
        if (_file is not null)
            File.Delete(_file);
    }

    private void Write()
    {
        if (_file is null)
            return;
        var next = _file + ".new";
        File.WriteAllLines(next, [_group ?? "", .. _processes.Select(mark => mark.ToString())]);
        File.Move(next, _file, overwrite: true);
    }

    private static void TakeAway(string file, string sidecar)
    {
        var lines = File.ReadAllLines(file);
        var marks = lines.Skip(1).Select(ProcessMark.Parse).OfType<ProcessMark>().ToList();
        if (marks is [{ IsAlive: true } owner, ..])
            throw new CliException($"traffic is captured here already, by meshctl run (process {owner.Id}): one run at a time, or each in a network namespace of its own (--capture netns)");
        Console.Error.WriteLine("meshctl: an earlier run was killed: what it left (rules, its sidecar, its program) is taken away");
        foreach (var left in marks.Where(mark => mark.IsAlive).Select(mark => mark.Id).Concat(ProcessMark.WithVariable(Variable, lines.ElementAtOrDefault(1) ?? "")))
            Signals.Send(left, Signals.Kill);
        if (lines is [{ Length: > 0 } group, ..])
            Cgroup.Remove(group, kill: true);
        if (ExternalProgram.Run(sidecar, ["capture", "remove"]) is { Code: not 0 } failed)
            throw new CliException($"the rules of an earlier run stay: {failed.Said.TrimEnd()}");
        File.Delete(file);
    }
}
