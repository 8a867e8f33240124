using Mesh.Api.Grpc;
using Mesh.ControlPlane.Identity.Authority;
using Mesh.ControlPlane.Identity.Issuing;
using Mesh.ControlPlane.Identity.Records;
using Mesh.ControlPlane.Model;
using Microsoft.AspNetCore.Http;

namespace Mesh.ControlPlane.Identity.Access;

/// <summary>
/// Middleware of the mesh API: without a client certificate, issuing certificates is all that answers; a revoked caller gets nothing, and one whose
/// certificate would not be let in again nothing new. What a caller may do beyond that is decided where it is done. Thread safe.
/// </summary>
internal sealed class CallerCheck(CertificateAuthority authority, Revocations revocations, TimeProvider time)
{
    /// <summary>Passes on or refuses.</summary>
    public Task CheckAsync(HttpContext http, RequestDelegate next)
    {
        var caller = http.Features.Get<Caller>();
        if (caller is not null && revocations.Contains(caller.Id))
            return GrpcEndpoints.RefuseAsync(http, new GrpcStatus(GrpcStatusCode.PermissionDenied, $"{caller.Id} is revoked"));
        if (caller is not null && http.Connection.ClientCertificate is { } shown && shown.NotAfter.ToUniversalTime() <= time.GetUtcNow().UtcDateTime)
        {
            // What runs goes on; what is new needs a handshake with a certificate that is good, so the connection is asked to end.
            http.Connection.RequestClose();
            return GrpcEndpoints.RefuseAsync(http, new GrpcStatus(GrpcStatusCode.Unavailable, $"the certificate of this connection ended at {shown.NotAfter.ToUniversalTime():u}: connect again with a newer one"));
        }

        if (http.Features.Get<ShownCertificate>()?.IsBelieved(authority.Current.Bundle) == false)
        {
            // Else whoever holds a certificate under a root that was dropped would renew it on the connection he has.
            http.Connection.RequestClose();
            return GrpcEndpoints.RefuseAsync(http, new GrpcStatus(GrpcStatusCode.Unavailable, "the root above the certificate of this connection is no longer believed: connect again with a newer one"));
        }

        if (caller is null && http.Request.Path != CertificateEndpoint.Path)
        {
            return GrpcEndpoints.RefuseAsync(http, new GrpcStatus(
                GrpcStatusCode.Unauthenticated, "this is for callers with a certificate of the mesh: get one first (CreateCertificate), and show it in the handshake"));
        }

        return next(http);
    }
}
