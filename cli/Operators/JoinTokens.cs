using System.Text;
using Mesh.Api.Identity;
using Mesh.Api.Operators;

namespace Mesh.Cli.Operators;

/// <summary>Join tokens: given by somebody, or made at the operators' API. They are secrets, and handed on by environment only. Stateless.</summary>
internal static class JoinTokens
{
    /// <summary>The variable in which a sidecar finds its join token.</summary>
    public const string Variable = "MESH_JOIN_TOKEN";

    // The sidecar uses it at once; a slow start is no reason for a token that lies about for long.
    private const int Seconds = 120;

    /// <summary>The token of the file or the environment; null when there is neither.</summary>
    public static string? Given(string? file)
    {
        if (file is null) return Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } token ? token : null;
        try
        {
            return Encoding.UTF8.GetString(SecureFiles.ReadSecret(file)).Trim();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CliException($"cannot read the join token (--token-file): {e.Message}");
        }
    }

    /// <summary>Makes one that is used within the next minutes.</summary>
    public static async Task<string> MakeAsync(
        OperatorsClient client, string identity, IReadOnlyList<string> serves, IReadOnlyList<string> addresses, CancellationToken cancellation)
    {
        var request = new TokenRequest { Identity = identity, Serves = serves, Addresses = addresses, TtlSeconds = Seconds };
        return (await client.PostAsync(
            OperatorsApi.Tokens, request, OperatorsJson.Default.TokenRequest, OperatorsJson.Default.IssuedToken, cancellation)).Token;
    }
}
