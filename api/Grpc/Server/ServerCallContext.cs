using Microsoft.AspNetCore.Http;

namespace Mesh.Api.Grpc;

/// <summary>What a handler may know of the call it serves. Lives as long as the call.</summary>
public sealed class ServerCallContext
{
    internal ServerCallContext(HttpContext http, CancellationToken cancellation) => (Http, Cancellation) = (http, cancellation);

    /// <summary>The HTTP request underneath: headers, connection, endpoint. Its body and response belong to the call.</summary>
    public HttpContext Http { get; }

    /// <summary>Cancelled when the client gives up, the connection is lost or the deadline passes.</summary>
    public CancellationToken Cancellation { get; }
}
