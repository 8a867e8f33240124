using System.CommandLine;
using Mesh.Cli;
using Mesh.Cli.Commands;

// meshctl: puts programs into the mesh (run) and shows what the mesh does (everything else). Errors are one line on stderr.
var root = new RootCommand("Runs programs in the mesh, and shows what the mesh does.")
{
    RunCommand.Make(),
    NodesCommand.Make(),
    ServicesCommand.Make(),
    ConfigCommand.Make(),
    StatCommand.Make(),
    EdgesCommand.Make(),
    IdentityCommand.Make(),
    TokenCommand.Make(),
    AuthorityCommand.Make(),
    AuthzCommand.Make(),
};

var parsed = root.Parse(args);
if (parsed.Errors.Count > 0)
    return Usage.Refuse(parsed, Console.Error);

try
{
    return await parsed.InvokeAsync(Usage.Invocation(parsed));
}
catch (CliException e)
{
    await Console.Error.WriteLineAsync("meshctl: " + e.Message);
    return e.ExitCode;
}
catch (OperationCanceledException)
{
    return 130; // Ctrl-C while watching.
}
