using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Istio.V1.Auth;
using Mesh.Api.Grpc;
using Mesh.Api.Identity;

namespace Mesh.ControlPlane.Tests.Identity;

/// <summary>A client of the mesh API of a control plane in this process: with a certificate or none, over a real socket.</summary>
internal sealed class MeshApiClient : IDisposable
{
    private readonly GrpcChannel channel;

    /// <summary>A client that shows a certificate, or none.</summary>
    public MeshApiClient(string address, TrustBundle roots, Svid? own = null)
    {
        channel = new GrpcChannel("https://" + address, new GrpcChannelOptions
        {
            Tls = () => new SslClientAuthenticationOptions
            {
                EnabledSslProtocols = SslProtocols.Tls13,
                CertificateChainPolicy = SvidVerifier.HandshakePolicy(),
                CertificateRevocationCheckMode = X509RevocationMode.NoCheck,
                ClientCertificateContext = own?.TlsContext,
                AllowTlsResume = false,
                RemoteCertificateValidationCallback = (_, leaf, chain, _) =>
                    new SvidVerifier(TimeProvider.System).Verify(leaf, chain, roots) is { Ok: true } verdict && verdict.Id == ControlPlaneId.Of(roots.TrustDomain),
            },
        });
    }

    /// <summary>The channel underneath.</summary>
    public GrpcChannel Channel => channel;

    /// <summary>Asks for a certificate over a new key; the request names <paramref name="claimed"/>, which nobody should believe.</summary>
    public async Task<Svid> ObtainAsync(string? bearer = null, string? claimed = null, TimeSpan? life = null)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var answer = await RequestAsync(Csr.Create(key, claimed is null ? null : SpiffeId.Parse(claimed)), bearer, life);
        var certificates = CertificatePem.Read(string.Concat(answer.CertChain.SkipLast(1)));
        return Svid.Create(certificates[0], certificates.Skip(1), key);
    }

    /// <summary>Asks with a request as it is.</summary>
    public Task<IstioCertificateResponse> RequestAsync(string csr, string? bearer = null, TimeSpan? life = null) => channel.UnaryAsync(
        CertificateMethods.CreateCertificate,
        new IstioCertificateRequest { Csr = csr, ValidityDuration = (long)(life ?? TimeSpan.Zero).TotalSeconds },
        new CallOptions { Headers = bearer is null ? [] : [new("authorization", "Bearer " + bearer)] },
        CancellationToken.None);

    public void Dispose() => channel.Dispose();
}
