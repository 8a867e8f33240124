using Google.Protobuf;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Mesh.Api.Grpc;

/// <summary>Serves gRPC methods as endpoints of an ASP.NET Core application whose port speaks HTTP/2.</summary>
public static class GrpcEndpoints
{
    /// <summary>One message in, one out.</summary>
    public static IEndpointConventionBuilder MapGrpcUnary<TRequest, TResponse>(
        this IEndpointRouteBuilder endpoints, GrpcMethod<TRequest, TResponse> method,
        Func<TRequest, ServerCallContext, Task<TResponse>> handler, GrpcServerOptions? options = null)
        where TRequest : class, IMessage<TRequest>
        where TResponse : class, IMessage<TResponse>
        => endpoints.MapGrpcDuplex(method, async (requests, responses, context) =>
            await responses.WriteAsync(await handler(await requests.ReadOnlyAsync(context.Cancellation), context), context.Cancellation), options);

    /// <summary>One message in, many out.</summary>
    public static IEndpointConventionBuilder MapGrpcServerStreaming<TRequest, TResponse>(
        this IEndpointRouteBuilder endpoints, GrpcMethod<TRequest, TResponse> method,
        Func<TRequest, MessageWriter<TResponse>, ServerCallContext, Task> handler, GrpcServerOptions? options = null)
        where TRequest : class, IMessage<TRequest>
        where TResponse : class, IMessage<TResponse>
        => endpoints.MapGrpcDuplex(method, async (requests, responses, context) =>
            await handler(await requests.ReadOnlyAsync(context.Cancellation), responses, context), options);

    /// <summary>Many messages in, one out.</summary>
    public static IEndpointConventionBuilder MapGrpcClientStreaming<TRequest, TResponse>(
        this IEndpointRouteBuilder endpoints, GrpcMethod<TRequest, TResponse> method,
        Func<MessageReader<TRequest>, ServerCallContext, Task<TResponse>> handler, GrpcServerOptions? options = null)
        where TRequest : class, IMessage<TRequest>
        where TResponse : class, IMessage<TResponse>
        => endpoints.MapGrpcDuplex(method, async (requests, responses, context) =>
            await responses.WriteAsync(await handler(requests, context), context.Cancellation), options);

    /// <summary>Many messages in, many out, in any order.</summary>
    public static IEndpointConventionBuilder MapGrpcDuplex<TRequest, TResponse>(
        this IEndpointRouteBuilder endpoints, GrpcMethod<TRequest, TResponse> method,
        Func<MessageReader<TRequest>, MessageWriter<TResponse>, ServerCallContext, Task> handler, GrpcServerOptions? options = null)
        where TRequest : class, IMessage<TRequest>
        where TResponse : class, IMessage<TResponse>
    {
        var settings = options ?? new();
        RequestDelegate serve = http => ServerCall.ServeAsync(http, settings, call =>
        {
            var requests = new MessageReader<TRequest>(http.Request.BodyReader, method.RequestParser, settings.MaxReceiveMessageSize);
            var responses = new MessageWriter<TResponse>(http.Response.BodyWriter, call, http.Response);
            return handler(requests, responses, call.Context);
        });
        return endpoints.Map(method.Path, serve);
    }

    /// <summary>Answers a request with a status instead of serving it: gRPC's to gRPC calls, HTTP's with the words to the rest.</summary>
    public static Task RefuseAsync(HttpContext http, GrpcStatus status)
    {
        if (RequestCheck.IsGrpc(http.Request.ContentType)) return ServerCall.ServeAsync(http, new GrpcServerOptions(), _ => throw new GrpcException(status));
        http.Response.StatusCode = status.Code == GrpcStatusCode.Unauthenticated ? StatusCodes.Status401Unauthorized : StatusCodes.Status403Forbidden;
        return http.Response.WriteAsync(status.Message + "\n", http.RequestAborted);
    }

    /// <summary>Answers every path nobody serves: UNIMPLEMENTED to gRPC, 404 to the rest.</summary>
    public static IEndpointConventionBuilder MapGrpcUnknown(this IEndpointRouteBuilder endpoints)
    {
        var settings = new GrpcServerOptions();
        return endpoints.MapFallback("{**path}", (RequestDelegate)(http =>
        {
            if (RequestCheck.IsGrpc(http.Request.ContentType))
                return ServerCall.ServeAsync(http, settings, _ => throw new GrpcException(GrpcStatusCode.Unimplemented, $"no method {http.Request.Path}"));
            http.Response.StatusCode = StatusCodes.Status404NotFound;
            return Task.CompletedTask;
        }));
    }
}
