using System.CommandLine;

namespace Mesh.Cli.Identity;

/// <summary>Where workloads reach the control plane: the address that sidecars take, too. Stateless.</summary>
internal static class MeshApi
{
    private const string Variable = "MESH_CONTROL_PLANE";
    private const string Default = "127.0.0.1:15012";

    public static Option<string?> Option() => new("--control-plane")
    {
        Description = $"the control plane's port for workloads ({Variable}; {Default} if unset)",
        HelpName = "HOST:PORT|http://HOST:PORT|unix:PATH",
    };

    /// <summary>The option's, the environment's, or the usual address.</summary>
    public static string Address(string? option)
    {
        var told = option ?? Environment.GetEnvironmentVariable(Variable);
        return string.IsNullOrEmpty(told) ? Default : told;
    }

    /// <summary>Whether workloads prove themselves there: everything but an address that says it is plaintext.</summary>
    public static bool IsSecured(string address) =>
        !address.StartsWith("http://", StringComparison.OrdinalIgnoreCase) && !address.StartsWith("unix:", StringComparison.OrdinalIgnoreCase);
}
