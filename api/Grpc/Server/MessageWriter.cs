using System.IO.Pipelines;
using Google.Protobuf;
using Microsoft.AspNetCore.Http;

namespace Mesh.Api.Grpc;

/// <summary>
/// The messages a server sends on one call. Safe from any thread: writers take turns. A write after the call has ended is an
/// <see cref="OperationCanceledException"/>.
/// </summary>
public sealed class MessageWriter<T>
    where T : class, IMessage<T>
{
    private readonly PipeWriter _output;
    private readonly ServerCall _call;
    private readonly HttpResponse _response;

    internal MessageWriter(PipeWriter output, ServerCall call, HttpResponse response) =>
        (_output, _call, _response) = (output, call, response);

    /// <summary>Sends a message; completes when the connection has taken it, so that a slow client slows the writer.</summary>
    public async Task WriteAsync(T message, CancellationToken cancellation)
    {
        // A handler that passes no token must not hold the turn against the deadline.
        var life = _call.Context.Cancellation;
        using var linked = cancellation == life || !cancellation.CanBeCanceled
            ? null
            : CancellationTokenSource.CreateLinkedTokenSource(life, cancellation);
        var token = linked?.Token ?? life;
        await _call.BeginWriteAsync(token);
        try
        {
            if (!_response.HasStarted)
                _response.ContentType = "application/grpc";
            var result = await MessageFraming.WriteAsync(_output, message, token);
            if (result.IsCompleted)
                throw new OperationCanceledException("the client has gone");
        }
        finally
        {
            _call.EndWrite();
        }
    }
}
