namespace Mesh.Api.Operators;

/// <summary>
/// Where the control plane keeps what operators log in with, and where meshctl looks for it. Stateless; the environment is read by
/// the caller's function.
/// </summary>
public static class OperatorsFiles
{
    /// <summary>Below the data folder: the token of the role admin (0600, made on first start).</summary>
    public const string AdminToken = "operators/admin.token";

    /// <summary>Below the data folder: the token of the role view.</summary>
    public const string ViewToken = "operators/view.token";

    /// <summary>The data folder when none is named: <c>$XDG_STATE_HOME/mesh</c>, else <c>~/.local/state/mesh</c>; null without a home.</summary>
    public static string? DefaultDataFolder(Func<string, string?> environment)
    {
        if (environment("XDG_STATE_HOME") is { Length: > 0 } state && Path.IsPathRooted(state)) return Path.Combine(state, "mesh");
        return environment("HOME") is { Length: > 0 } home ? Path.Combine(home, ".local", "state", "mesh") : null;
    }
}
