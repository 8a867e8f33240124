using Mesh.Api.Identity;
using Mesh.Api.Operators;
using Mesh.ControlPlane.Admin.Login;
using Mesh.ControlPlane.Identity;
using Mesh.ControlPlane.Identity.Issuing;
using Mesh.ControlPlane.Identity.Joining;
using Mesh.ControlPlane.Identity.Stores;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Mesh.ControlPlane.Admin;

/// <summary>What operators do about identity: join tokens, who holds certificates, revocations. Every change is in the audit log. Thread safe.</summary>
internal sealed class IdentityEndpoints(MeshIdentity identity, IdentityReport report, TimeProvider time)
{
    /// <summary>Adds the paths to an application.</summary>
    public void Map(IEndpointRouteBuilder endpoints)
    {
        Map(endpoints, OperatorsApi.Tokens, "POST", CreateTokenAsync);
        Map(endpoints, OperatorsApi.Identities, "GET", async http => await OperatorsAnswer.SendAsync(http, await report.ReadAsync(http.RequestAborted), OperatorsJson.Default.IdentityList));
        Map(endpoints, OperatorsApi.Revocations, "GET", SendRevocationsAsync);
        Map(endpoints, OperatorsApi.Revocations, "POST", RevokeAsync);
        Map(endpoints, OperatorsApi.Revocations, "DELETE", RestoreAsync);
    }

    /// <summary>Adds a path whose failures of the store are answers.</summary>
    internal static void Map(IEndpointRouteBuilder endpoints, string path, string method, Func<HttpContext, Task> serve) =>
        endpoints.MapMethods(path, method == "GET" ? ["GET", "HEAD"] : [method], (RequestDelegate)(async http =>
        {
            try
            {
                await serve(http);
            }
            catch (StoreException e) when (!http.Response.HasStarted)
            {
                await OperatorsAnswer.RefuseAsync(http, StatusCodes.Status503ServiceUnavailable, e.Message);
            }
        }));

    /// <summary>Who the operator is, for the audit log.</summary>
    internal static string NameOf(HttpContext http) => http.Features.Get<Operator>()?.Name ?? "nobody";

    private async Task CreateTokenAsync(HttpContext http)
    {
        if (await OperatorsBody.ReadAsync(http, OperatorsRequests.Default.TokenRequest) is not { } request) return;
        try
        {
            var life = request.TtlSeconds == 0 ? JoinTokens.DefaultLife : TimeSpan.FromSeconds(request.TtlSeconds);
            var id = IdOf(request.Identity);
            if (identity.Revocations.Contains(id)) throw new FormatException($"identity: {id} is revoked; take that back first");
            var token = identity.Tokens.Create(id, [.. request.Serves], [.. request.Addresses], life, identity.Authority.Current.OwnIssuer.RootId);
            Note(http, "token", id, $"join token {token.Id} until {token.Expires:u}, serves {string.Join(',', token.Serves)}");
            await OperatorsAnswer.SendAsync(http, Of(token), OperatorsJson.Default.IssuedToken);
        }
        catch (FormatException e)
        {
            await OperatorsAnswer.RefuseAsync(http, StatusCodes.Status400BadRequest, e.Message);
        }
    }

    private async Task RevokeAsync(HttpContext http)
    {
        if (await OperatorsBody.ReadAsync(http, OperatorsRequests.Default.RevocationRequest) is not { } request) return;
        if (await ReadIdAsync(http, request.Identity) is not { } id) return;
        if (id == ControlPlaneId.Of(identity.Authority.TrustDomain))
        {
            await OperatorsAnswer.RefuseAsync(http, StatusCodes.Status400BadRequest, $"{id} is the control plane's own: revoking it would end the mesh; change the root instead (meshctl ca rotate)");
            return;
        }

        if (await identity.Revocations.AddAsync(id, Shown(request.Reason), NameOf(http), http.RequestAborted)) Note(http, "revoked", id, Shown(request.Reason));
        await SendRevocationsAsync(http);
    }

    private async Task RestoreAsync(HttpContext http)
    {
        if (await ReadIdAsync(http, http.Request.Query["identity"].ToString()) is not { } id) return;
        if (!await identity.Revocations.RemoveAsync(id, http.RequestAborted))
        {
            await OperatorsAnswer.RefuseAsync(http, StatusCodes.Status404NotFound, $"{id} is not revoked");
            return;
        }

        Note(http, "restored", id, null);
        await SendRevocationsAsync(http);
    }

    private Task SendRevocationsAsync(HttpContext http) => OperatorsAnswer.SendAsync(
        http,
        new RevocationList([.. identity.Revocations.All.Select(record => new Revocation { Identity = record.Identity, Since = record.At, Reason = record.Reason })]),
        OperatorsJson.Default.RevocationList);

    private async Task<SpiffeId?> ReadIdAsync(HttpContext http, string text)
    {
        try
        {
            return IdOf(text);
        }
        catch (FormatException e)
        {
            await OperatorsAnswer.RefuseAsync(http, StatusCodes.Status400BadRequest, e.Message);
            return null;
        }
    }

    // ns/shop/sa/cart is short for an ID of the mesh's own trust domain.
    private SpiffeId IdOf(string text)
    {
        var domain = identity.Authority.TrustDomain;
        var full = text.Split('/') is ["ns", _, "sa", _] ? $"spiffe://{domain}/{text}" : text;
        if (!SpiffeId.TryParse(full, out var id, out var problem)) throw new FormatException($"identity '{Shown(text)}': {problem}; write ns/NAMESPACE/sa/ACCOUNT or the whole ID");
        if (id.TrustDomain != domain) throw new FormatException($"identity: {id} is not of this mesh's trust domain {domain}");
        return id.Path.Length > 0 ? id : throw new FormatException($"identity: {id} names no workload");
    }

    private void Note(HttpContext http, string what, SpiffeId id, string? text) =>
        identity.Audit.Write(new AuditEvent(time.GetUtcNow(), what) { Identity = id.ToString(), By = NameOf(http), Text = text, Peer = http.Connection.RemoteIpAddress?.ToString() });

    private static IssuedToken Of(JoinToken token) => new()
    {
        Token = token.Text,
        Id = token.Id,
        Identity = token.Identity.ToString(),
        Serves = token.Serves,
        Addresses = token.Addresses,
        Expires = token.Expires,
    };

    private static string Shown(string text) => text.Length <= 200 ? text : text[..200] + "...";
}
