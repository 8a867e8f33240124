namespace Mesh.Cli.Running;

/// <summary>Finds program files: the sidecar, and the child by PATH. Stateless.</summary>
internal static class Programs
{
    private const string SidecarName = "mesh-sidecar";
    private const string Variable = "MESH_SIDECAR";

    /// <summary>The sidecar: as told, else the environment's, beside this program, of a development checkout, on PATH.</summary>
    public static string FindSidecar(string? told)
    {
        var named = string.IsNullOrEmpty(told) ? Environment.GetEnvironmentVariable(Variable) : told;
        if (!string.IsNullOrEmpty(named))
        {
            return IsExecutable(named)
                ? Path.GetFullPath(named)
                : throw new CliException($"'{named}' is no program that can be started: it was named as the sidecar (--sidecar or {Variable})");
        }

        return Candidates(AppContext.BaseDirectory).FirstOrDefault(IsExecutable)
            ?? OnPath(SidecarName)
            ?? throw new CliException($"{SidecarName} is not beside meshctl and not on PATH: name it with --sidecar PATH or {Variable}");
    }

    /// <summary>The child's program; a failure has a shell's exit code: 127 not found, 126 found and no program.</summary>
    public static string FindCommand(string command)
    {
        if (!command.Contains('/', StringComparison.Ordinal))
            return OnPath(command) ?? throw new CliException($"{command}: command not found", 127);
        if (!File.Exists(command))
            throw new CliException($"{command}: no such file", 127);
        return IsExecutable(command) ? command : throw new CliException($"{command}: not executable", 126);
    }

    /// <summary>A helper program, if this machine has it.</summary>
    public static string? OnPath(string name) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':', StringSplitOptions.RemoveEmptyEntries)
            .Select(directory => Path.Combine(directory, name)).FirstOrDefault(IsExecutable);

    private static IEnumerable<string> Candidates(string here)
    {
        yield return Path.Combine(here, SidecarName);

        // artifacts/bin/Mesh.Cli/debug/ -> artifacts/bin/Mesh.Sidecar/debug/
        var configuration = Path.GetFileName(Path.TrimEndingDirectorySeparator(here));
        var bin = Path.GetFullPath(Path.Combine(here, "..", ".."));
        foreach (var other in new[] { configuration, "release", "debug" })
            yield return Path.Combine(bin, "Mesh.Sidecar", other, SidecarName);
    }

    private static bool IsExecutable(string path) =>
        File.Exists(path) && (File.GetUnixFileMode(path) & (UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute)) != UnixFileMode.None;
}
