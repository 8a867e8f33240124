using Mesh.Api.Identity;

namespace Mesh.ControlPlane.Sources.Consul;

/// <summary>
/// The ACL token: from the environment, or from a file that is read again when it changes. Thread safe.
/// A file that cannot be read for a moment (an editor, a secret being rotated) leaves the last token in use.
/// </summary>
internal sealed class ConsulToken(string? file, string? fixedToken)
{
    private const int Longest = 64 * 1024;
    private readonly Lock gate = new();
    private string? token = fixedToken;
    private DateTime seen;

    /// <summary>The token to send, or null for none.</summary>
    /// <exception cref="IOException">The file has never been readable.</exception>
    public string? Read()
    {
        if (file is null) return token;
        lock (gate)
        {
            try
            {
                // One stat a call: calls are few, and there is no watcher that could miss a swapped symbolic link.
                var written = File.GetLastWriteTimeUtc(file);
                if (written == seen) return token;
                var text = RegularFiles.ReadText(file, Longest).Trim();
                if (text.Length == 0 || text.Any(char.IsControl))
                    throw new IOException($"the token file {file} holds no token (one line is expected)");
                (token, seen) = (text, written);
            }
            catch (Exception e) when (seen != default && e is IOException or UnauthorizedAccessException)
            {
                // Keep the last good one; Consul will say when it is no longer good.
            }

            return token;
        }
    }
}
