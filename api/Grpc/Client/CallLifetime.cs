namespace Mesh.Api.Grpc;

/// <summary>
/// When a client's call must end: at its deadline, or when its caller cancels. Tells afterwards which it was. Owned by one call.
/// </summary>
internal sealed class CallLifetime : IDisposable
{
    private readonly CancellationTokenSource? _deadline;
    private readonly CancellationTokenSource _linked;
    private readonly CancellationToken _caller;

    public CallLifetime(TimeSpan? timeout, TimeProvider time, CancellationToken caller)
    {
        _caller = caller;
        if (timeout is { } t)
            _deadline = new CancellationTokenSource(TimeSpan.FromTicks(Math.Clamp(t.Ticks, 0, GrpcTimeout.Longest.Ticks)), time);
        _linked = CancellationTokenSource.CreateLinkedTokenSource(caller, _deadline?.Token ?? CancellationToken.None);
        Token = _linked.Token;
    }

    /// <summary>Cancelled when the call must end.</summary>
    public CancellationToken Token { get; }

    /// <summary>Whether <see cref="Token"/> is cancelled whenever <paramref name="cancellation"/> is.</summary>
    public bool Covers(CancellationToken cancellation) => !cancellation.CanBeCanceled || cancellation == _caller;

    /// <summary>Ends the call from this side.</summary>
    public void Cancel() => _linked.Cancel();

    /// <summary>What the caller is to see of a failure: its own cancellation, the deadline, or the status behind it.</summary>
    public Exception Explain(Exception failure, CancellationToken ofThisOperation)
    {
        if (_caller.IsCancellationRequested)
            return new OperationCanceledException(failure.Message, failure, _caller);
        if (ofThisOperation.IsCancellationRequested)
            return new OperationCanceledException(failure.Message, failure, ofThisOperation);
        if (failure is GrpcException { Code: GrpcStatusCode.DeadlineExceeded })
            return failure;
        if (_deadline is { IsCancellationRequested: true })
            return new GrpcException(GrpcStatusCode.DeadlineExceeded, "the deadline passed before the call ended", failure);
        if (Token.IsCancellationRequested)
            return new GrpcException(GrpcStatusCode.Cancelled, "the call was ended by this side", failure);
        return failure as GrpcException ?? new GrpcException(StatusMapping.OfException(failure), failure);
    }

    public void Dispose()
    {
        _linked.Dispose();
        _deadline?.Dispose();
    }
}
