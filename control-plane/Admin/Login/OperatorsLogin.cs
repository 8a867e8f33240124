using System.Collections.Frozen;
using System.Text.Json;
using Mesh.Api.Operators;
using Mesh.ControlPlane.Model;
using Microsoft.AspNetCore.Http;

namespace Mesh.ControlPlane.Admin.Login;

/// <summary>Marks the endpoints that answer operators alone. Immutable.</summary>
internal sealed class OperatorsOnly
{
    private OperatorsOnly()
    {
    }

    /// <summary>The mark.</summary>
    public static OperatorsOnly Mark { get; } = new();
}

/// <summary>
/// Middleware of the operators' API: nobody is answered who has not logged in, by a token on its own port or by a certificate on the mesh API's. The
/// role view may look, the role admin may change. Thread safe.
/// </summary>
/// <param name="tokens">The tokens.</param>
/// <param name="certificates">Roles of identities that show a certificate.</param>
internal sealed class OperatorsLogin(OperatorTokens tokens, FrozenDictionary<string, OperatorRole> certificates)
{
    private const string Scheme = "Bearer ";

    /// <summary>Changes nothing though it is a POST: the question does not fit into a URL.</summary>
    private static readonly FrozenSet<string> Questions = new[] { OperatorsApi.AuthorizationCheck }.ToFrozenSet(StringComparer.Ordinal);

    /// <summary>
    /// Whether a request is for operators: what answers it says so (<see cref="OperatorsOnly"/>), however the path is spelled, since routing takes
    /// more than one spelling. Paths under theirs that nobody serves are theirs, too.
    /// </summary>
    public static bool IsFor(HttpContext http) =>
        http.GetEndpoint()?.Metadata.GetMetadata<OperatorsOnly>() is not null
        || http.Request.Path.StartsWithSegments("/api", StringComparison.OrdinalIgnoreCase) || http.Request.Path.StartsWithSegments("/debug", StringComparison.OrdinalIgnoreCase);

    /// <summary>For the operators' own port: a token is needed.</summary>
    public Task ByTokenAsync(HttpContext http, RequestDelegate next)
    {
        var header = http.Request.Headers.Authorization;
        var text = header.Count == 1 ? header.ToString() : "";
        if (!text.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase))
            return UnknownAsync(http, $"log in: send 'Authorization: Bearer TOKEN' with the token of the control plane's data folder, file {OperatorsFiles.AdminToken} (or {OperatorsFiles.ViewToken})");
        return tokens.Find(text[Scheme.Length..].Trim()) is { } known ? CheckAsync(http, known, next) : UnknownAsync(http, "this token is none of the control plane's operators' tokens");
    }

    /// <summary>For the mesh API: the caller's certificate must be an operator's.</summary>
    public Task ByCertificateAsync(HttpContext http, RequestDelegate next)
    {
        if (!IsFor(http)) return next(http);
        if (http.Features.Get<Caller>() is not { } caller) return UnknownAsync(http, "log in: show a certificate of an operator");
        return certificates.TryGetValue(caller.Id.ToString(), out var role)
            ? CheckAsync(http, new Operator(caller.Id.ToString(), role), next)
            : RefuseAsync(http, StatusCodes.Status403Forbidden, $"{caller.Id} is no operator: start the control plane with --operator {caller.Id}=view (or =admin) if it should be");
    }

    private static Task CheckAsync(HttpContext http, Operator known, RequestDelegate next)
    {
        var request = http.Request;
        var looks = HttpMethods.IsGet(request.Method) || HttpMethods.IsHead(request.Method) || Questions.Contains(request.Path.Value ?? "");
        if (!looks && known.Role != OperatorRole.Admin)
            return RefuseAsync(http, StatusCodes.Status403Forbidden, $"{known.Name} may look and not change: {request.Method} {request.Path} needs the role admin");
        http.Features.Set(known);
        return next(http);
    }

    private static Task UnknownAsync(HttpContext http, string error)
    {
        http.Response.Headers.WWWAuthenticate = "Bearer";
        return RefuseAsync(http, StatusCodes.Status401Unauthorized, error);
    }

    private static Task RefuseAsync(HttpContext http, int status, string error)
    {
        http.Response.StatusCode = status;
        http.Response.ContentType = "application/json; charset=utf-8";
        return JsonSerializer.SerializeAsync(http.Response.Body, new OperatorsError(error), OperatorsJson.Default.OperatorsError, http.RequestAborted);
    }
}
