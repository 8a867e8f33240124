using System.CommandLine;
using System.CommandLine.Parsing;

namespace Mesh.Cli;

/// <summary>What the program answers to a command line it does not understand. Stateless.</summary>
internal static class Usage
{
    public const int ExitCode = 2;

    /// <summary>Tells every error, then how the command is used.</summary>
    public static int Refuse(ParseResult parsed, TextWriter error)
    {
        foreach (var problem in parsed.Errors)
            error.WriteLine("meshctl: " + problem.Message);
        error.WriteLine();
        List<string> help = ["--help"];
        for (var command = parsed.CommandResult; command.Parent is CommandResult parent; command = parent)
            help.Insert(0, command.Command.Name);
        parsed.RootCommandResult.Command.Parse(help).Invoke(new InvocationConfiguration { Output = error });
        return ExitCode;
    }

    /// <summary>How a command is run: <c>run</c> forwards signals itself, all others end on them.</summary>
    public static InvocationConfiguration Invocation(ParseResult parsed) => new()
    {
        EnableDefaultExceptionHandler = false,
        ProcessTerminationTimeout = parsed.CommandResult.Command.Name == "run" ? null : TimeSpan.FromSeconds(2),
    };
}
