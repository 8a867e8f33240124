using Mesh.Api.Grpc;
using Mesh.ControlPlane.Identity.Issuing;
using Mesh.ControlPlane.Identity.Records;
using Mesh.ControlPlane.Model;
using Microsoft.AspNetCore.Http;

namespace Mesh.ControlPlane.Identity.Access;

/// <summary>
/// Middleware of the mesh API: without a client certificate, issuing certificates is all that answers; a revoked caller gets nothing. What a caller
/// may do beyond that is decided where it is done. Thread safe.
/// </summary>
internal sealed class CallerCheck(Revocations revocations)
{
    /// <summary>Passes on or refuses.</summary>
    public Task CheckAsync(HttpContext http, RequestDelegate next)
    {
        var caller = http.Features.Get<Caller>();
        if (caller is not null && revocations.Contains(caller.Id))
            return GrpcEndpoints.RefuseAsync(http, new GrpcStatus(GrpcStatusCode.PermissionDenied, $"{caller.Id} is revoked"));
        if (caller is null && http.Request.Path != CertificateEndpoint.Path)
        {
            return GrpcEndpoints.RefuseAsync(http, new GrpcStatus(
                GrpcStatusCode.Unauthenticated, "this is for callers with a certificate of the mesh: get one first (CreateCertificate), and show it in the handshake"));
        }

        return next(http);
    }
}
