using System.Net.Security;
using System.Security.Authentication;
using System.Text;
using Mesh.Api.Identity;
using Mesh.Cli.Identity;

namespace Mesh.Cli.Operators;

/// <summary>Logs in to the operators' API with a certificate: mutual TLS with files as <c>meshctl identity fetch</c> writes them. Stateless.</summary>
internal static class OperatorsCertificate
{
    /// <summary>A handler that shows the folder's certificate and believes only a control plane of its trust domain.</summary>
    public static SocketsHttpHandler Handler(string folder, TimeProvider time)
    {
        var (svid, bundle) = Read(folder);
        var verifier = new SvidVerifier(time);
        return new SocketsHttpHandler
        {
            SslOptions = new SslClientAuthenticationOptions
            {
                EnabledSslProtocols = SslProtocols.Tls13,
                ClientCertificateContext = svid.TlsContext,
                CertificateChainPolicy = SvidVerifier.HandshakePolicy(),
                RemoteCertificateValidationCallback = (_, leaf, chain, _) =>
                    verifier.Verify(leaf, chain, bundle) is { Ok: true, Id: { } id }
                    && id == ControlPlaneId.Of(bundle.TrustDomain),
            },
        };
    }

    private static (Svid Svid, TrustBundle Bundle) Read(string folder)
    {
        try
        {
            var svid = Svid.FromPem(
                RegularFiles.ReadText(Path.Combine(folder, SvidFiles.Certificate), SecureFiles.MaxLength), Encoding.UTF8.GetString(ReadKey(Path.Combine(folder, SvidFiles.Key))));
            return (svid, TrustBundle.FromPem(svid.Id.TrustDomain, RegularFiles.ReadText(Path.Combine(folder, SvidFiles.Roots), SecureFiles.MaxLength)));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or FormatException)
        {
            throw new CliException($"the certificate in {folder} cannot be used: {e.Message}");
        }
    }

    /// <summary>The files are links into the folder of the newest set: the key itself must be its owner's alone.</summary>
    private static byte[] ReadKey(string path) => SecureFiles.ReadSecret(File.ResolveLinkTarget(path, returnFinalTarget: true)?.FullName ?? path);
}
