using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Mesh.Api.Grpc;

/// <summary>What must hold before a request is a gRPC call; sets the HTTP status of one that is none. Stateless.</summary>
internal static class RequestCheck
{
    /// <summary>
    /// False: the request is answered, with the HTTP status that is set by now, or with <paramref name="refusal"/>.
    /// True: a call, with the time its client gives it.
    /// </summary>
    public static bool Accept(HttpContext http, out TimeSpan? timeout, out GrpcStatus? refusal)
    {
        (timeout, refusal) = (null, null);
        var request = http.Request;
        var status = HttpStatusFor(request);
        if (status != StatusCodes.Status200OK)
        {
            http.Response.StatusCode = status;
            if (status == StatusCodes.Status405MethodNotAllowed)
                http.Response.Headers.Allow = HttpMethods.Post;
            return false;
        }

        LiftBodyLimits(http);
        if (request.Headers["grpc-timeout"] is [{ } value, ..])
        {
            if (!GrpcTimeout.TryParse(value, out var parsed))
            {
                refusal = new(GrpcStatusCode.Internal, $"malformed grpc-timeout '{value}'");
                return false;
            }

            timeout = parsed;
        }

        return true;
    }

    /// <summary>Whether a content type is gRPC with protobuf messages: <c>application/grpc</c>, <c>+proto</c>, parameters allowed.</summary>
    public static bool IsGrpc(string? contentType)
    {
        const string grpc = "application/grpc";
        if (contentType is null || !contentType.StartsWith(grpc, StringComparison.OrdinalIgnoreCase))
            return false;
        var rest = contentType.AsSpan(grpc.Length);
        if (rest.StartsWith("+proto", StringComparison.OrdinalIgnoreCase))
            rest = rest["+proto".Length..];
        return rest.IsEmpty || rest[0] is ';' or ' ';
    }

    private static int HttpStatusFor(HttpRequest request)
    {
        if (!HttpMethods.IsPost(request.Method))
            return StatusCodes.Status405MethodNotAllowed;
        if (!IsGrpc(request.ContentType))
            return StatusCodes.Status415UnsupportedMediaType;
        return HttpProtocol.IsHttp2(request.Protocol) ? StatusCodes.Status200OK : StatusCodes.Status426UpgradeRequired;
    }

    /// <summary>A stream may be long and silent: only single messages are limited.</summary>
    private static void LiftBodyLimits(HttpContext http)
    {
        if (http.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } size)
            size.MaxRequestBodySize = null;
        if (http.Features.Get<Microsoft.AspNetCore.Server.Kestrel.Core.Features.IHttpMinRequestBodyDataRateFeature>() is { } rate)
            rate.MinDataRate = null;
    }
}
