using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Mesh.Api.Grpc;

/// <summary>
/// One call on the server, from checked request to status: runs the handler under the deadline and ends the response exactly
/// once. Owned by its request; the response is guarded by a turn that messages and the status take.
/// </summary>
internal sealed partial class ServerCall : IDisposable
{
    private readonly HttpContext _http;
    private readonly SemaphoreSlim _turn = new(1);
    private readonly CancellationTokenSource? _deadline;
    private readonly CancellationTokenSource _lifetime;
    private bool _ended;

    private ServerCall(HttpContext http, TimeSpan? timeout, TimeProvider time)
    {
        _http = http;
        _deadline = timeout is { } t ? new CancellationTokenSource(t, time) : null;
        _lifetime = CancellationTokenSource.CreateLinkedTokenSource(http.RequestAborted, _deadline?.Token ?? CancellationToken.None);
        Context = new ServerCallContext(http, _lifetime.Token);
    }

    public ServerCallContext Context { get; }

    /// <summary>Serves one request: refuses what is no gRPC call, else runs <paramref name="handler"/> and answers with its status.</summary>
    public static async Task ServeAsync(HttpContext http, GrpcServerOptions options, Func<ServerCall, Task> handler)
    {
        if (!RequestCheck.Accept(http, out var timeout, out var refusal))
        {
            if (refusal is { } status)
                await EndResponseAsync(http, status);
            return;
        }

        using var call = new ServerCall(http, timeout, options.Time);
        await call.RunAsync(handler);
    }

    /// <summary>Takes the turn to write a message.</summary>
    public async Task BeginWriteAsync(CancellationToken cancellation)
    {
        await _turn.WaitAsync(cancellation);
        if (!_ended)
            return;
        _turn.Release();
        throw new OperationCanceledException("the call has ended");
    }

    /// <summary>Gives the turn back.</summary>
    public void EndWrite() => _turn.Release();

    public void Dispose()
    {
        _lifetime.Dispose();
        _deadline?.Dispose();
        _turn.Dispose();
    }

    private async Task RunAsync(Func<ServerCall, Task> handler)
    {
        var running = RunHandlerAsync(handler);
        if (_deadline is { } deadline)
        {
            var passed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            await using var registration = deadline.Token.Register(() => passed.TrySetResult());
            // The client hears of its deadline at once, also when the handler does not heed its cancellation.
            if (await Task.WhenAny(running, passed.Task) != running)
                await EndAsync(new(GrpcStatusCode.DeadlineExceeded, "the deadline passed before the call ended"));
        }

        await EndAsync(await running);
    }

    private async Task<GrpcStatus> RunHandlerAsync(Func<ServerCall, Task> handler)
    {
        try
        {
            await handler(this);
            return GrpcStatus.Ok;
        }
        catch (Exception) when (_deadline is { IsCancellationRequested: true })
        {
            return new(GrpcStatusCode.DeadlineExceeded, "the deadline passed before the call ended");
        }
        catch (Exception) when (_http.RequestAborted.IsCancellationRequested)
        {
            return new(GrpcStatusCode.Cancelled, "the client has gone");
        }
        catch (GrpcException e)
        {
            return e.Status;
        }
        catch (OperationCanceledException)
        {
            return new(GrpcStatusCode.Unavailable, "the server is ending the call");
        }
        catch (Exception e)
        {
            LogUnexpected(Logger(), _http.Request.Path, e);
            return new(GrpcStatusCode.Unknown, "the server failed; its log says why");
        }
    }

    private async Task EndAsync(GrpcStatus status)
    {
        await _turn.WaitAsync(CancellationToken.None);
        try
        {
            if (_ended)
                return;
            _ended = true;
            if (!_http.RequestAborted.IsCancellationRequested)
                await EndResponseAsync(_http, status);
        }
        finally
        {
            _turn.Release();
        }
    }

    private static async Task EndResponseAsync(HttpContext http, GrpcStatus status)
    {
        var response = http.Response;
        var trailersOnly = !response.HasStarted && status.Code != GrpcStatusCode.Ok;
        if (!response.HasStarted)
            response.ContentType = "application/grpc";
        var target = trailersOnly ? response.Headers : http.Features.Get<IHttpResponseTrailersFeature>()?.Trailers;
        if (target is null)
            return;
        target["grpc-status"] = ((int)status.Code).ToString();
        if (status.Message.Length > 0)
            target["grpc-message"] = PercentEncoding.Encode(status.Message);
        try
        {
            await response.CompleteAsync();
        }
        catch (Exception e) when (e is IOException or OperationCanceledException)
        {
            // The client has gone: nobody is left to hear the status.
        }
    }

    private ILogger Logger() =>
        _http.RequestServices?.GetService<ILoggerFactory>()?.CreateLogger("Mesh.Grpc") ?? NullLogger.Instance;

    [LoggerMessage(Level = LogLevel.Error, Message = "a gRPC handler failed method={Method}")]
    private static partial void LogUnexpected(ILogger logger, string method, Exception exception);
}
