namespace Mesh.Cli;

/// <summary>A failure that is told in one line: what went wrong and what to do. Ends the program with its code.</summary>
internal sealed class CliException(string message, int exitCode = 1) : Exception(message)
{
    public int ExitCode { get; } = exitCode;
}
