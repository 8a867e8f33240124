using System.Net;
using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Mesh.Api.Identity;

namespace Mesh.ControlPlane.Sources.Consul;

/// <summary>Builds connections to Consul: bounded in number, no proxy, no redirects, TLS checked against one's own authorities if named. Pure.</summary>
internal static class ConsulConnections
{
    /// <exception cref="IOException">The CA file cannot be read or holds no certificate.</exception>
    public static SocketsHttpHandler Create(ConsulOptions options)
    {
        var handler = new SocketsHttpHandler
        {
            // A redirect would carry the token elsewhere; a proxy from the environment has no business between us and the registry.
            AllowAutoRedirect = false,
            UseProxy = false,
            UseCookies = false,
            AutomaticDecompression = DecompressionMethods.GZip,
            ConnectTimeout = TimeSpan.FromSeconds(5),
            MaxConnectionsPerServer = options.MaxConnections,
            PooledConnectionIdleTimeout = TimeSpan.FromSeconds(90),
            ActivityHeadersPropagator = null,
        };
        if (options.CaFile is { } file) handler.SslOptions = Trusting(file);
        return handler;
    }

    private static SslClientAuthenticationOptions Trusting(string file)
    {
        var roots = new X509Certificate2Collection();
        try
        {
            roots.ImportFromPem(RegularFiles.ReadText(file, SecureFiles.MaxLength));
        }
        catch (CryptographicException e)
        {
            throw new IOException($"the CA file for Consul, {file}, is not PEM: {e.Message}", e);
        }

        if (roots.Count == 0) throw new IOException($"the CA file for Consul, {file}, holds no certificate");
        var policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
        policy.CustomTrustStore.AddRange(roots);
        return new SslClientAuthenticationOptions { CertificateChainPolicy = policy };
    }
}
