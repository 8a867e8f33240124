using System.Buffers;
using System.IO.Pipelines;
using System.Runtime.CompilerServices;
using System.Threading.Tasks.Sources;
using Mesh.Sidecar.Identity;
using Microsoft.AspNetCore.Connections;

namespace Mesh.Sidecar.Listening;

/// <summary>
/// What a transport receives, as an engine reads it: received straight into the blocks the engine parses. A receive is always posted, up to
/// <see cref="MostUnexamined"/> bytes ahead of the engine, so that the peer's going away is heard while a request runs. One reader;
/// <see cref="CancelPendingRead"/> and <see cref="Break"/> may come from any thread. Whoever waits goes on where the bytes arrive.
/// </summary>
internal sealed class TransportReader(ITransport transport, MemoryPool<byte> pool) : PipeReader, IValueTaskSource<ReadResult>
{
    private const int LeastRead = 2048;
    private const long MostUnexamined = 1024 * 1024;
    private readonly Lock gate = new();
    private readonly TaskCompletionSource end = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private ReceivedBlocks blocks = new(pool);
    private Action? onReceived;
    private ManualResetValueTaskSourceCore<ReadResult> wake;
    private CancellationTokenRegistration cancellation;
    private ValueTaskAwaiter<int> running;
    private bool receiving;
    private bool waiting;
    private bool cancelled;
    private bool completed;
    private bool ended;
    private Exception? error;
    private Exception? broken;

    /// <summary>Ends when nothing is received any more, whoever ended it.</summary>
    public Task Ended => end.Task;

    /// <summary>Begins to receive.</summary>
    public void Start()
    {
        onReceived = () => Run(Received());
        Memory<byte> room;
        lock (gate) room = Next();
        Run(room);
    }

    /// <inheritdoc/>
    public override ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default)
    {
        if (cancellationToken.IsCancellationRequested) return ValueTask.FromCanceled<ReadResult>(cancellationToken);
        lock (gate)
        {
            if (IsReady(out var result)) return new(result);
            wake.Reset();
            waiting = true;
        }

        var read = new ValueTask<ReadResult>(this, wake.Version);
        // Whoever awaits it gets it back from us first: it is there when it is looked for.
        if (cancellationToken.CanBeCanceled) cancellation = cancellationToken.UnsafeRegister(static (self, token) => ((TransportReader)self!).Cancel(token), this);
        return read;
    }

    /// <inheritdoc/>
    public override bool TryRead(out ReadResult result)
    {
        lock (gate) return IsReady(out result);
    }

    /// <inheritdoc/>
    public override void AdvanceTo(SequencePosition consumed) => AdvanceTo(consumed, consumed);

    /// <inheritdoc/>
    public override void AdvanceTo(SequencePosition consumed, SequencePosition examined)
    {
        Memory<byte> room;
        lock (gate)
        {
            if (completed) return;
            blocks.Advance(consumed, examined, receiving);
            room = Next();
        }

        Run(room);
    }

    /// <inheritdoc/>
    public override void CancelPendingRead()
    {
        ReadResult result;
        lock (gate)
        {
            cancelled = !waiting;
            if (cancelled) return;
            waiting = false;
            result = Result(isCanceled: true);
        }

        wake.SetResult(result);
    }

    /// <inheritdoc/>
    public override void Complete(Exception? exception = null)
    {
        lock (gate)
        {
            if (completed) return;
            completed = true;
            if (receiving) return;
            ended = true;
            blocks.Free();
        }

        end.TrySetResult();
    }

    /// <summary>The transport was closed on this side: who reads hears why.</summary>
    public void Break(Exception why)
    {
        lock (gate)
        {
            broken ??= why;
            // What runs ends by itself, and says it.
            if (receiving || ended) return;
            (ended, error) = (true, broken);
        }

        end.TrySetResult();
    }

    /// <inheritdoc/>
    ReadResult IValueTaskSource<ReadResult>.GetResult(short token)
    {
        cancellation.Dispose();
        cancellation = default;
        return wake.GetResult(token);
    }

    /// <inheritdoc/>
    ValueTaskSourceStatus IValueTaskSource<ReadResult>.GetStatus(short token) => wake.GetStatus(token);

    /// <inheritdoc/>
    void IValueTaskSource<ReadResult>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        wake.OnCompleted(continuation, state, token, flags);

    private bool IsReady(out ReadResult result)
    {
        if (completed) throw new InvalidOperationException("reading is completed");
        if (error is not null) throw error;
        result = default;
        if (!cancelled && !ended && blocks.Unexamined == 0) return false;
        result = Result(cancelled);
        cancelled = false;
        return true;
    }

    private ReadResult Result(bool isCanceled) => new(blocks.Received, isCanceled, ended);

    private void Cancel(CancellationToken token)
    {
        lock (gate)
        {
            if (!waiting) return;
            waiting = false;
        }

        wake.SetException(new OperationCanceledException(token));
    }

    /// <summary>Room for the next receive, which is to begin now; empty when there is none to begin. Under the lock.</summary>
    private Memory<byte> Next()
    {
        if (receiving || ended || completed || blocks.Unexamined >= MostUnexamined) return default;
        receiving = true;
        return blocks.Room(LeastRead);
    }

    private void Run(Memory<byte> room)
    {
        while (!room.IsEmpty)
        {
            try
            {
                running = transport.ReceiveAsync(room).GetAwaiter();
            }
            catch (Exception e) when (Transports.IsBreak(e))
            {
                running = ValueTask.FromException<int>(e).GetAwaiter();
            }

            if (!running.IsCompleted)
            {
                running.UnsafeOnCompleted(onReceived!);
                return;
            }

            room = Received();
        }
    }

    /// <summary>A receive is done. Who waits for it goes on, and has the next one posted when it has seen what came.</summary>
    private Memory<byte> Received()
    {
        var count = Count(out var failure);
        ReadResult result = default;
        Exception? why;
        bool wakes;
        lock (gate)
        {
            receiving = false;
            if (count > 0) blocks.Fill(count);
            else (ended, error) = (true, broken ?? (failure is null ? null : new ConnectionResetException("the client broke the connection", failure)));
            why = error;
            (wakes, waiting) = (waiting, false);
            if (completed) blocks.Free();
            else if (wakes && why is null) result = Result(isCanceled: false);
            else if (!wakes) return ended ? Over() : Next();
            ended |= completed;
        }

        if (ended) Over();
        if (!wakes) return default;
        if (why is null) wake.SetResult(result);
        else wake.SetException(why);
        return default;
    }

    private Memory<byte> Over()
    {
        end.TrySetResult();
        return default;
    }

    /// <summary>Nobody stands above to hear it: whatever ends a receive ends the connection.</summary>
    private int Count(out Exception? failure)
    {
        failure = null;
        try
        {
#pragma warning disable VSTHRD002 // Only called when it is complete.
            return running.GetResult();
#pragma warning restore VSTHRD002
        }
        catch (Exception e)
        {
            failure = e;
            return 0;
        }
    }
}
