using Mesh.Api.Operators;
using Mesh.ControlPlane.Identity;
using Mesh.ControlPlane.Identity.Issuing;
using Mesh.ControlPlane.Identity.Rotation;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Mesh.ControlPlane.Admin;

/// <summary>What operators do about the certificate authority: see how it stands, change its root. Thread safe.</summary>
internal sealed class AuthorityEndpoints(MeshIdentity identity, TimeProvider time)
{
    private readonly AuthorityReport report = new(identity, time);

    /// <summary>Adds the paths to an application.</summary>
    public void Map(IEndpointRouteBuilder endpoints)
    {
        IdentityEndpoints.Map(endpoints, OperatorsApi.Authority, "GET", http => SendAsync(http, null));
        IdentityEndpoints.Map(endpoints, OperatorsApi.Rotation, "POST", RotateAsync);
    }

    private async Task RotateAsync(HttpContext http)
    {
        if (await OperatorsBody.ReadAsync(http, OperatorsRequests.Default.RotationRequest) is not { } request) return;
        if (identity.Rotation is not { } rotation)
        {
            await OperatorsAnswer.RefuseAsync(http, StatusCodes.Status409Conflict,
                $"the authority is yours ({identity.KeptIn}): put the new files there; a new root is believed at once and issues shortly after");
            return;
        }

        if (request.Rehearse)
        {
            await SendAsync(http, await rotation.RehearseAsync(http.RequestAborted));
            return;
        }

        var now = await rotation.StartAsync(request.Force, http.RequestAborted);
        identity.Audit.Write(new AuditEvent(time.GetUtcNow(), "rotation") { By = IdentityEndpoints.NameOf(http), Text = $"{(request.Force ? "forced, " : "")}{now.State?.Phase} {now.State?.NewRoot}" });
        await SendAsync(http, now);
    }

    private async Task SendAsync(HttpContext http, RotationReport? rotation) => await OperatorsAnswer.SendAsync(
        http, report.Of(rotation ?? (identity.Rotation is { } ours ? await ours.ReportAsync(http.RequestAborted) : null)), OperatorsJson.Default.AuthorityStatus);
}
