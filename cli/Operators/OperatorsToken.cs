using System.Text;
using Mesh.Api.Identity;
using Mesh.Api.Operators;

namespace Mesh.Cli.Operators;

/// <summary>
/// What the tool logs in with: a token of the role admin or view, from where the contract with the control plane says. Immutable; the
/// token is a secret and in no text but its own property.
/// </summary>
internal sealed class OperatorsToken
{
    private const string ValueVariable = "MESH_OPERATORS_TOKEN";
    private const string FileVariable = "MESH_OPERATORS_TOKEN_FILE";
    public const string FileOption = "--operators-token-file";

    private OperatorsToken(string? value, string source) => (Value, Source) = (value, source);

    /// <summary>The token; null when none was found.</summary>
    public string? Value { get; }

    /// <summary>Where it is from; or, when there is none, where it was looked for.</summary>
    public string Source { get; }

    /// <summary>The variables that carry secrets of operators: no program that this tool starts inherits them.</summary>
    public static IReadOnlyList<string> SecretVariables { get; } = [ValueVariable, FileVariable];

    /// <summary>
    /// The file of the option; else the environment's token or file; else the files a control plane with the usual data folder makes.
    /// A file that is named and cannot be used is an error, not a reason to look further.
    /// </summary>
    public static OperatorsToken Find(string? option, Func<string, string?> environment)
    {
        if (option is { Length: > 0 }) return Read(option, FileOption);
        if (environment(ValueVariable) is { Length: > 0 } token) return new OperatorsToken(Checked(token, ValueVariable), ValueVariable);
        if (environment(FileVariable) is { Length: > 0 } file) return Read(file, FileVariable);
        if (OperatorsFiles.DefaultDataFolder(environment) is not { } folder)
            return new OperatorsToken(null, "nowhere: there is no HOME whose .local/state/mesh could be looked into");

        var candidates = new[] { OperatorsFiles.AdminToken, OperatorsFiles.ViewToken }.Select(name => Path.Combine(folder, name)).ToArray();
        return candidates.FirstOrDefault(IsReadable) is { } found
            ? Read(found, "the usual place")
            : new OperatorsToken(null, string.Join(" and ", candidates));
    }

    private static OperatorsToken Read(string path, string named)
    {
        try
        {
            return new OperatorsToken(Checked(Encoding.UTF8.GetString(SecureFiles.ReadSecret(path)), path), path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CliException($"cannot read the operators' token ({named}): {e.Message}");
        }
    }

    private static string Checked(string text, string source)
    {
        var token = text.Trim();
        if (token.Length == 0) throw new CliException($"{source} holds no operators' token: it is empty");
        return token.All(c => c is > ' ' and < '\u007f')
            ? token
            : throw new CliException($"{source} holds no operators' token: it has characters that no token has");
    }

    /// <summary>Another user's file is as good as none: the other role's may be ours.</summary>
    private static bool IsReadable(string path)
    {
        try
        {
            using var file = RegularFiles.Open(path);
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }
}
