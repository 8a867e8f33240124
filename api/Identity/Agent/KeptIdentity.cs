using System.Text;

namespace Mesh.Api.Identity.Agent;

/// <summary>
/// A folder (0700) in which a certificate with its key outlives the process: <c>identity.pem</c> and <c>bundle.pem</c>, both 0600. The key
/// and its certificate are one file, so that they always fit. Used by one agent; a folder is one workload's.
/// </summary>
internal sealed class KeptIdentity(string folder)
{
    private const string KeyLabel = "-----BEGIN PRIVATE KEY-----";

    private string IdentityFile => Path.Combine(folder, "identity.pem");

    private string BundleFile => Path.Combine(folder, "bundle.pem");

    /// <summary>What is kept; null when nothing is. Throws <see cref="IOException"/> or <see cref="FormatException"/> that says what is wrong.</summary>
    public Credentials? Read()
    {
        if (!File.Exists(IdentityFile)) return null;
        SecureFiles.EnsureFolder(folder);
        var identity = Encoding.ASCII.GetString(SecureFiles.ReadSecret(IdentityFile));
        var key = identity.IndexOf(KeyLabel, StringComparison.Ordinal);
        if (key < 0) throw new FormatException($"{IdentityFile} holds no private key");
        try
        {
            var svid = Svid.FromPem(identity[..key], identity[key..]);
            return new(svid, TrustBundle.FromPem(svid.Id.TrustDomain, Encoding.ASCII.GetString(SecureFiles.ReadSecret(BundleFile))));
        }
        catch (FormatException e)
        {
            throw new FormatException($"{folder}: {e.Message}", e);
        }
    }

    /// <summary>Keeps these; throws <see cref="IOException"/> or <see cref="UnauthorizedAccessException"/>, and then what was kept before stays.</summary>
    public void Write(Credentials credentials)
    {
        SecureFiles.EnsureFolder(folder);
        SecureFiles.WriteAtomically(BundleFile, Encoding.ASCII.GetBytes(credentials.Bundle.ToPem()));
        SecureFiles.WriteAtomically(IdentityFile, Encoding.ASCII.GetBytes(credentials.Svid.ToPem()));
    }
}
