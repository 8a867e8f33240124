using System.Buffers;
using System.IO.Pipelines;
using Mesh.Sidecar.Identity;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http.Features;

namespace Mesh.Sidecar.Listening;

/// <summary>
/// A connection over TLS as Kestrel's engines take it. What TLS decrypts goes straight into the engine's pipe and what the engine writes
/// straight out of it, gathered into whole records; nothing lies between. Begun by <see cref="Start"/>, ended by the engine's disposal.
/// </summary>
internal sealed class SecuredConnection : ConnectionContext, IConnectionLifetimeFeature, IMemoryPoolFeature
{
    private const int LargestRecord = 16 * 1024;
    private const int LeastRead = 2048;
    private readonly CancellationTokenSource closed = new(); // not disposed: it holds nothing, and the engine may be through before it is told
    private readonly TlsTransport transport;
    private readonly MemoryPool<byte> pool;
    private readonly Pipe incoming;
    private readonly Pipe outgoing;
    private Task receiving = Task.CompletedTask;
    private Task sending = Task.CompletedTask;
    private volatile Exception? aborted;

    /// <summary>Takes over a secured connection.</summary>
    public SecuredConnection(TlsTransport transport, MemoryPool<byte> pool)
    {
        (this.transport, this.pool) = (transport, pool);
        incoming = new Pipe(Options(1024 * 1024));
        outgoing = new Pipe(Options(64 * 1024));
        Transport = new Duplex(incoming.Reader, outgoing.Writer);
        ConnectionClosed = closed.Token;
        (LocalEndPoint, RemoteEndPoint) = (transport.Socket.LocalEndPoint, transport.Socket.RemoteEndPoint);
        Features.Set<IConnectionLifetimeFeature>(this);
        Features.Set<IMemoryPoolFeature>(this);
    }

    /// <inheritdoc/>
    public override string ConnectionId { get; set; } = "";

    /// <inheritdoc/>
    public override IFeatureCollection Features { get; } = new FeatureCollection(8);

    /// <inheritdoc/>
    public override IDictionary<object, object?> Items { get; set; } = new ConnectionItems();

    /// <inheritdoc/>
    public override IDuplexPipe Transport { get; set; }

    /// <inheritdoc/>
    public MemoryPool<byte> MemoryPool => pool;

    /// <summary>Begins to receive and to send.</summary>
    public void Start()
    {
        receiving = ReceiveAsync();
        sending = SendAsync();
    }

    /// <summary>Whether its first bytes are HTTP/2's; they stay where they are. Who says nothing in time is closed.</summary>
    public async ValueTask<bool> SpeaksHttp2Async(TimeSpan bound, TimeProvider time)
    {
        using var timer = time.CreateTimer(static self => ((SecuredConnection)self!).Abort(), this, bound, Timeout.InfiniteTimeSpan);
        while (true)
        {
            var read = await incoming.Reader.ReadAsync();
            var detected = Look(read.Buffer);
            var enough = detected != Detected.NeedMore || read.IsCompleted;
            incoming.Reader.AdvanceTo(read.Buffer.Start, enough ? read.Buffer.Start : read.Buffer.End);
            if (enough) return detected == Detected.Http2;
        }
    }

    /// <inheritdoc/>
    public override void Abort(ConnectionAbortedException abortReason)
    {
        aborted ??= abortReason;
        outgoing.Reader.CancelPendingRead();
        transport.Dispose();
    }

    /// <inheritdoc/>
    public override void Abort() => Abort(new ConnectionAbortedException());

    /// <inheritdoc/>
    public override async ValueTask DisposeAsync()
    {
        await Transport.Input.CompleteAsync();
        await Transport.Output.CompleteAsync();
        await receiving;
        await sending;
        transport.Dispose();
    }

    private static Detected Look(ReadOnlySequence<byte> bytes) => Detection.Look(bytes.IsSingleSegment ? bytes.FirstSpan : bytes.ToArray());

    private PipeOptions Options(long most) => new(
        pool, PipeScheduler.Inline, PipeScheduler.Inline, pauseWriterThreshold: most, resumeWriterThreshold: most / 2, useSynchronizationContext: false);

    private async Task ReceiveAsync()
    {
        Exception? end = null;
        try
        {
            while (true)
            {
                var count = await transport.ReceiveAsync(incoming.Writer.GetMemory(LeastRead));
                if (count == 0) break;
                incoming.Writer.Advance(count);
                var flushed = await incoming.Writer.FlushAsync();
                if (flushed.IsCompleted || flushed.IsCanceled) break;
            }
        }
        catch (Exception e) when (Transports.IsBreak(e))
        {
            end = aborted ?? new ConnectionResetException("the client broke the connection", e);
        }

        await incoming.Writer.CompleteAsync(aborted ?? end);
        // Not on this thread: it belongs to the socket, and who hears this may do anything.
        ThreadPool.UnsafeQueueUserWorkItem(static self => self.closed.Cancel(), this, preferLocal: false);
    }

    private async Task SendAsync()
    {
        Exception? end = null;
        try
        {
            while (true)
            {
                var read = await outgoing.Reader.ReadAsync();
                if (read.IsCanceled) break;
                if (!read.Buffer.IsEmpty) await SendAsync(read.Buffer);
                outgoing.Reader.AdvanceTo(read.Buffer.End);
                if (read.IsCompleted) break;
            }

            if (aborted is null) await transport.EndSendingAsync();
        }
        catch (Exception e) when (Transports.IsBreak(e))
        {
            end = e;
        }

        // The engine is done, or cannot go on: what the client still sends is of no use.
        transport.Dispose();
        await outgoing.Reader.CompleteAsync(end);
        incoming.Writer.CancelPendingFlush();
    }

    /// <summary>One record for what fits into one, however many pieces it lies in: a record costs more than a copy.</summary>
    private async ValueTask SendAsync(ReadOnlySequence<byte> bytes)
    {
        if (bytes.IsSingleSegment)
        {
            await transport.SendAsync(bytes.First);
            return;
        }

        var record = ArrayPool<byte>.Shared.Rent((int)Math.Min(bytes.Length, LargestRecord));
        try
        {
            while (!bytes.IsEmpty)
            {
                var piece = bytes.Slice(0, Math.Min(bytes.Length, LargestRecord));
                piece.CopyTo(record);
                await transport.SendAsync(record.AsMemory(0, (int)piece.Length));
                bytes = bytes.Slice(piece.End);
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(record);
        }
    }

    private sealed class Duplex(PipeReader input, PipeWriter output) : IDuplexPipe
    {
        public PipeReader Input => input;

        public PipeWriter Output => output;
    }
}
