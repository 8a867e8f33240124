using System.Security.Cryptography;
using System.Text;
using Mesh.Api.Identity;
using Mesh.Api.Operators;

namespace Mesh.ControlPlane.Admin.Login;

/// <summary>
/// The two tokens operators log in with, each in a file of the data folder (0600), made on the first start. Whoever can read the file is an operator;
/// being on this machine is not enough. Immutable.
/// </summary>
internal sealed class OperatorTokens
{
    private const int Bytes = 32;
    private const int Shortest = 20;
    private readonly byte[] admin;
    private readonly byte[] view;

    private OperatorTokens(string admin, string view) => (this.admin, this.view) = (HashOf(admin), HashOf(view));

    /// <summary>Reads the tokens of a data folder, and makes those that are not there. A <see cref="StartException"/> says what stands in the way.</summary>
    public static OperatorTokens Open(string data) =>
        new(Read(Path.Combine(data, OperatorsFiles.AdminToken)), Read(Path.Combine(data, OperatorsFiles.ViewToken)));

    /// <summary>Who shows this token; null for nobody. Takes the same time for any.</summary>
    public Operator? Find(string token)
    {
        var shown = HashOf(token);
        var isAdmin = CryptographicOperations.FixedTimeEquals(shown, admin);
        var isView = CryptographicOperations.FixedTimeEquals(shown, view);
        if (isAdmin) return new Operator("admin token", OperatorRole.Admin);
        return isView ? new Operator("view token", OperatorRole.View) : null;
    }

    private static string Read(string path)
    {
        try
        {
            SecureFiles.EnsureFolder(Path.GetDirectoryName(path)!);
            if (!File.Exists(path)) SecureFiles.CreateNew(path, Encoding.ASCII.GetBytes(Base64Url.Encode(RandomNumberGenerator.GetBytes(Bytes)) + "\n"));
            var token = Encoding.ASCII.GetString(SecureFiles.ReadSecret(path)).Trim();
            return token.Length >= Shortest ? token
                : throw new StartException($"{path} holds no token of at least {Shortest} letters: delete it, and one is made, or write one by: openssl rand -base64 32");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new StartException($"the operators' token {path} cannot be used: {e.Message}", e);
        }
    }

    private static byte[] HashOf(string token) => SHA256.HashData(Encoding.UTF8.GetBytes(token));
}
