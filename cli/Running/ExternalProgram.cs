using System.Diagnostics;

namespace Mesh.Cli.Running;

/// <summary>Short-lived programs of the system that a run needs. Stateless.</summary>
internal static class ExternalProgram
{
    private const int Tries = 50;
    private const int EndedByInterrupt = 128 + Signals.Interrupt;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    /// <summary>Runs one to its end: its exit code and everything it said.</summary>
    public static (int Code, string Said) Run(string program, IEnumerable<string> arguments, string input = "")
    {
        string[] given = [.. arguments];
        var ran = Once(program, given, input);
        // A Ctrl-C between the start of a process and its session of its own ends it before it has done anything.
        for (var i = 1; i < Tries && ran.Code == EndedByInterrupt; i++)
            ran = Once(program, given, input);
        return ran;
    }

    private static (int Code, string Said) Once(string program, string[] arguments, string input)
    {
        // In a session of its own: what is being made or taken away is not left half done by somebody who types Ctrl-C once more.
        var (first, all) = Programs.OnPath("setsid") is { } setsid ? (setsid, [program, .. arguments]) : (program, arguments);
        var start = new ProcessStartInfo(first, all) { UseShellExecute = false, RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        try
        {
            using var process = Process.Start(start)!;
            var (output, error) = (process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
            process.StandardInput.Write(input);
            process.StandardInput.Close();
            if (process.WaitForExit(Patience))
                return (process.ExitCode, output.Result + error.Result);
            process.Kill(entireProcessTree: true);
            return (-1, $"{program} did not end within {Patience.TotalSeconds:0} s");
        }
        catch (Exception e) when (e is System.ComponentModel.Win32Exception or IOException)
        {
            return (-1, $"{program}: {e.Message}");
        }
    }

    /// <summary>Runs one that has to succeed; a <see cref="CliException"/> says what it said.</summary>
    public static string Must(string program, IEnumerable<string> arguments, string input = "")
    {
        var all = arguments.ToArray();
        var (code, said) = Run(program, all, input);
        return code == 0 ? said : throw new CliException($"{program} {string.Join(' ', all)} failed: {said.Trim()}");
    }
}
