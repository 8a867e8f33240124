using System.Net;

namespace Mesh.Api.Grpc;

/// <summary>What HTTP says, in gRPC's codes, where the peer gave no gRPC status. Stateless.</summary>
internal static class StatusMapping
{
    /// <summary>The code for an HTTP status: the table of gRPC's "HTTP to gRPC status code mapping".</summary>
    public static GrpcStatusCode OfHttpStatus(HttpStatusCode status) => (int)status switch
    {
        400 => GrpcStatusCode.Internal,
        401 => GrpcStatusCode.Unauthenticated,
        403 => GrpcStatusCode.PermissionDenied,
        404 => GrpcStatusCode.Unimplemented,
        429 or 502 or 503 or 504 => GrpcStatusCode.Unavailable,
        _ => GrpcStatusCode.Unknown,
    };

    /// <summary>The code for an HTTP/2 error code of RST_STREAM or GOAWAY.</summary>
    public static GrpcStatusCode OfHttp2Error(long errorCode) => errorCode switch
    {
        0x7 => GrpcStatusCode.Unavailable, // REFUSED_STREAM
        0x8 => GrpcStatusCode.Cancelled, // CANCEL
        0xb => GrpcStatusCode.ResourceExhausted, // ENHANCE_YOUR_CALM
        0xc => GrpcStatusCode.PermissionDenied, // INADEQUATE_SECURITY
        _ => GrpcStatusCode.Internal,
    };

    /// <summary>The status for an exception of the HTTP client. Cancellation and deadlines are the caller's to tell apart first.</summary>
    public static GrpcStatus OfException(Exception exception)
    {
        for (var e = exception; e is not null; e = e.InnerException)
        {
            if (e is GrpcException grpc)
                return grpc.Status;
            if (e is HttpProtocolException protocol)
                return new GrpcStatus(OfHttp2Error(protocol.ErrorCode), $"the peer ended the stream with HTTP/2 error {protocol.ErrorCode}");
        }

        return new GrpcStatus(GrpcStatusCode.Unavailable, exception.Message);
    }

    /// <summary>The status written in a grpc-status and grpc-message pair; null when <paramref name="code"/> is absent.</summary>
    public static GrpcStatus? OfHeaders(string? code, string? message)
    {
        if (code is null)
            return null;
        if (!int.TryParse(code, out var number) || number is < 0 or > 16)
            return new GrpcStatus(GrpcStatusCode.Unknown, $"grpc-status '{code}' is not a status code; {Decode(message)}");
        return new GrpcStatus((GrpcStatusCode)number, Decode(message));
    }

    private static string Decode(string? message) => PercentEncoding.Decode(message ?? "");
}
