using System.Diagnostics;

namespace Mesh.Sidecar.Capture;

/// <summary>What a program that was run said.</summary>
internal sealed record CommandResult(int ExitCode, string Output, string Error);

/// <summary>Runs a program of the system to its end, within a bound. Stateless.</summary>
internal static class ExternalCommand
{
    /// <summary>Longest any of them may take; they wait for each other's locks.</summary>
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(20);

    /// <summary>Where a program is, or null. Looks where administrators' programs are even when PATH does not.</summary>
    public static string? Find(string program) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':', StringSplitOptions.RemoveEmptyEntries).Concat(["/usr/sbin", "/sbin", "/usr/bin"])
        .Select(d => Path.Combine(d, program)).FirstOrDefault(CanRun);

    private static bool CanRun(string file)
    {
        try
        {
            return File.Exists(file) && (File.GetUnixFileMode(file) & (UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute)) != UnixFileMode.None;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // A link to nowhere.
            return false;
        }
    }

    /// <summary>Runs it; <see cref="CaptureException"/> when it cannot be started or does not end.</summary>
    public static CommandResult Run(string program, IEnumerable<string> arguments, string input = "")
    {
        var path = Find(program) ?? throw new CaptureException($"{program} is not installed");
        var start = new ProcessStartInfo(path, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
        };
        start.Environment["LC_ALL"] = "C";
        try
        {
            using var process = Process.Start(start)!;
            return Finish(process, program, input);
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            throw new CaptureException($"{path} cannot be run: {e.Message}");
        }
    }

    private static CommandResult Finish(Process process, string program, string input)
    {
        var (output, error) = (process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
        try
        {
            process.StandardInput.Write(input);
            process.StandardInput.Close();
        }
        catch (IOException)
        {
            // It ended without reading; what it said tells why.
        }

        if (!process.WaitForExit(Longest))
        {
            process.Kill(entireProcessTree: true);
            throw new CaptureException($"{program} did not end within {Longest.TotalSeconds:0} s; somebody may hold its lock");
        }

        Task.WaitAll(output, error);
        return new CommandResult(process.ExitCode, output.Result, error.Result);
    }
}

/// <summary>What keeps capture from being installed or looked at, in words for the operator.</summary>
internal sealed class CaptureException(string message) : Exception(message);
