using System.IO.Pipelines;
using System.Net;
using System.Net.Http.Headers;
using System.Runtime.CompilerServices;
using Google.Protobuf;

namespace Mesh.Api.Grpc;

/// <summary>
/// One call as its client holds it: messages out, messages in, and the status at the end. One writer and one reader may work at
/// the same time. Whoever opened it disposes it, which cancels it when it has not ended.
/// </summary>
public sealed class GrpcCall<TRequest, TResponse> : IAsyncDisposable
    where TRequest : class, IMessage<TRequest>
    where TResponse : class, IMessage<TResponse>
{
    private readonly HttpRequestMessage _request;
    private readonly MessageParser<TResponse> _parser;
    private readonly int _maxSize;
    private readonly CallLifetime _lifetime;
    private readonly Task<HttpResponseMessage> _sending;
    private PipeReader? _input;
    private GrpcStatus? _status;
    private volatile HttpResponseMessage? _response;

    internal GrpcCall(
        HttpMessageInvoker http, HttpRequestMessage request, MessageParser<TResponse> parser, int maxSize, CallLifetime lifetime)
    {
        (_request, _parser, _maxSize, _lifetime) = (request, parser, maxSize, lifetime);
        _sending = SendAsync(http);
    }

    /// <summary>Sends a message. Fails with the call's status when the server has already ended it.</summary>
    public async Task WriteAsync(TRequest message, CancellationToken cancellation)
    {
        try
        {
            var output = await StreamContent.Output.WaitAsync(cancellation);
            var result = await MessageFraming.WriteAsync(output, message, cancellation);
            if (result.IsCompleted)
                throw new GrpcException(GrpcStatusCode.Unavailable, "the call has ended");
        }
        catch (Exception e)
        {
            throw _lifetime.Explain(Refusal() ?? e, cancellation);
        }
    }

    /// <summary>Half-closes: no more messages follow from this side. Harmless when the call has ended.</summary>
    public void Complete() => StreamContent.HalfClose();

    /// <summary>The server's response headers, when they have come.</summary>
    public async Task<HttpResponseHeaders> HeadersAsync(CancellationToken cancellation)
    {
        try
        {
            return (await _sending.WaitAsync(cancellation)).Headers;
        }
        catch (Exception e)
        {
            throw _lifetime.Explain(e, cancellation);
        }
    }

    /// <summary>The server's trailers; null until the call has ended.</summary>
    public HttpHeaders? Trailers => _status is null ? null : _response?.TrailingHeaders;

    /// <summary>
    /// The next message, or null when the server ended the call with OK; any other status is a <see cref="GrpcException"/>.
    /// Cancelling a read ends the call.
    /// </summary>
    public async ValueTask<TResponse?> ReadAsync(CancellationToken cancellation)
    {
        using var linked = _lifetime.Covers(cancellation) ? null : CancellationTokenSource.CreateLinkedTokenSource(_lifetime.Token, cancellation);
        var token = linked?.Token ?? _lifetime.Token;
        try
        {
            var response = await _sending.WaitAsync(token);
            var input = _input ??= await OpenResponseAsync(response, token);
            var message = await MessageFraming.ReadAsync(input, _parser, _maxSize, token);
            if (message is null)
                EndWith(_status ?? StatusOf(response.TrailingHeaders) ?? new(GrpcStatusCode.Unknown, "the response ended without grpc-status"));
            return message;
        }
        catch (Exception e)
        {
            throw _lifetime.Explain(e, cancellation);
        }
    }

    /// <summary>All messages until the server ends the call.</summary>
    public async IAsyncEnumerable<TResponse> ReadAllAsync([EnumeratorCancellation] CancellationToken cancellation)
    {
        while (await ReadAsync(cancellation) is { } message)
            yield return message;
    }

    /// <summary>The one message of a call whose server sends exactly one, after the status was seen to be OK.</summary>
    public async Task<TResponse> ReadOnlyAsync(CancellationToken cancellation)
    {
        var message = await ReadAsync(cancellation)
            ?? throw new GrpcException(GrpcStatusCode.Internal, "the server ended the call with OK and no message");
        if (await ReadAsync(cancellation) is not null)
            throw new GrpcException(GrpcStatusCode.Internal, "the server sent a second message on a call that has one");
        return message;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (_status is null)
            _lifetime.Cancel();
        (_request.Content as MessageStreamContent)?.HalfClose();
        try
        {
            var response = await _sending;
            if (_input is not null)
                await _input.CompleteAsync();
            response.Dispose();
        }
        catch (Exception e) when (e is HttpRequestException or IOException or OperationCanceledException)
        {
            // The call's end was reported to its reader.
        }

        _request.Dispose();
        _lifetime.Dispose();
    }

    private MessageStreamContent StreamContent =>
        _request.Content as MessageStreamContent ?? throw new InvalidOperationException("this call's one request message is already sent");

    private async Task<HttpResponseMessage> SendAsync(HttpMessageInvoker http)
    {
        try
        {
            return _response = await http.SendAsync(_request, _lifetime.Token);
        }
        catch (Exception e)
        {
            (_request.Content as MessageStreamContent)?.Fail(e);
            throw;
        }
    }

    private async ValueTask<PipeReader> OpenResponseAsync(HttpResponseMessage response, CancellationToken cancellation)
    {
        if (StatusOf(response.Headers) is { } trailersOnly)
        {
            EndWith(trailersOnly);
            return PipeReader.Create(Stream.Null);
        }

        if (response.StatusCode != HttpStatusCode.OK)
            EndWith(new(StatusMapping.OfHttpStatus(response.StatusCode), $"HTTP status {(int)response.StatusCode} and no grpc-status"));
        if (response.Content.Headers.ContentType?.MediaType?.StartsWith("application/grpc", StringComparison.OrdinalIgnoreCase) != true)
            EndWith(new(GrpcStatusCode.Unknown, $"the response is no gRPC: content-type {response.Content.Headers.ContentType}"));

        var body = await response.Content.ReadAsStreamAsync(cancellation);
        return PipeReader.Create(body, new StreamPipeReaderOptions(bufferSize: 16 * 1024));
    }

    /// <summary>The status of a server that refused the call before it took our messages, if that is why a write failed.</summary>
    private GrpcException? Refusal() =>
        _response is { } response && StatusOf(response.Headers) is { Code: not GrpcStatusCode.Ok } status
            ? new GrpcException(status)
            : null;

    private void EndWith(GrpcStatus status)
    {
        _status = status;
        if (status.Code != GrpcStatusCode.Ok)
            throw new GrpcException(status);
    }

    private static GrpcStatus? StatusOf(HttpHeaders headers) =>
        headers.NonValidated.TryGetValues("grpc-status", out var code)
            ? StatusMapping.OfHeaders(
                code.ToString(), headers.NonValidated.TryGetValues("grpc-message", out var message) ? message.ToString() : null)
            : null;
}
