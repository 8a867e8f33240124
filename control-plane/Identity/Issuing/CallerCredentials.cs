using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Mesh.ControlPlane.Identity.Authority;
using Mesh.ControlPlane.Identity.Joining;
using Mesh.ControlPlane.Model;
using Microsoft.AspNetCore.Http;

namespace Mesh.ControlPlane.Identity.Issuing;

/// <summary>
/// Finds out who asks for a certificate: by the bearer token of the call (a join token, or a Kubernetes service account's), else by the certificate
/// of its connection. A token that is refused is never made up for by a certificate. Thread safe.
/// </summary>
/// <param name="tokens">Takes join tokens.</param>
/// <param name="kubernetes">Checks tokens of Kubernetes; null where none are taken.</param>
internal sealed class CallerCredentials(JoinTokens tokens, KubernetesTokens? kubernetes)
{
    private const string Scheme = "Bearer ";

    /// <summary>The credential of a call that asks for a certificate of this key, or why there is none.</summary>
    public async Task<(Credential? Credential, Refusal? Refusal)> ReadAsync(HttpContext http, PublicKey key, CancellationToken stop)
    {
        var header = http.Request.Headers.Authorization;
        if (header.Count > 1) return Refused("credential", "there is more than one authorization header");
        if (header.Count == 0) return OfCertificate(http);
        var text = header.ToString();
        if (!text.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase)) return Refused("credential", "the authorization header holds no bearer token");
        var token = text[Scheme.Length..].Trim();
        return token.StartsWith("mesh1.", StringComparison.Ordinal) ? await OfJoinTokenAsync(token, key, stop) : OfKubernetes(token);
    }

    private static (Credential?, Refusal?) OfCertificate(HttpContext http)
    {
        if (http.Features.Get<Caller>() is not { } caller)
            return Refused("credential", "a certificate is issued to whom shows a join token, a Kubernetes token or the certificate it has; this call shows none");
        var certificate = http.Connection.ClientCertificate;
        return (new Credential(caller.Id, "certificate", certificate is not null && Holder.TryRead(certificate, out var holder) ? holder : Holder.New()), null);
    }

    private async Task<(Credential?, Refusal?)> OfJoinTokenAsync(string text, PublicKey key, CancellationToken stop)
    {
        var (token, problem) = await tokens.ConsumeAsync(text, Convert.ToHexStringLower(SHA256.HashData(key.ExportSubjectPublicKeyInfo())), stop);
        return token is null ? Refused("token", problem!) : (new Credential(token.Identity, "token", Holder.New()), null);
    }

    private (Credential?, Refusal?) OfKubernetes(string text)
    {
        if (kubernetes is null) return Refused("kubernetes", "this is no join token, and Kubernetes tokens are not taken here: there is no --kube-jwks");
        var (id, problem) = kubernetes.Verify(text);
        return id is null ? Refused("kubernetes", problem!) : (new Credential(id, "kubernetes", Holder.New()), null);
    }

    private static (Credential?, Refusal?) Refused(string reason, string text) => (null, new Refusal(reason, text));
}
