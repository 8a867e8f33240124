using Istio.V1.Auth;
using Mesh.Api.Grpc;

namespace Mesh.Api.Identity;

/// <summary>The method by which workloads get certificates, for both ends: the shape of Istio's certificate authority. Stateless.</summary>
public static class CertificateMethods
{
    /// <summary>A signing request in, the certificate with its chain and the roots out.</summary>
    public static GrpcMethod<IstioCertificateRequest, IstioCertificateResponse> CreateCertificate { get; } =
        new("istio.v1.auth.IstioCertificateService", "CreateCertificate", IstioCertificateRequest.Parser, IstioCertificateResponse.Parser);
}
