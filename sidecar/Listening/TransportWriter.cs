using System.Buffers;
using System.IO.Pipelines;
using Mesh.Sidecar.Identity;

namespace Mesh.Sidecar.Listening;

/// <summary>
/// What an engine writes, on its way to a transport: gathered in one piece up to the transport's best size, and sent from there when it is flushed; a
/// flush ends when the transport has taken everything. Completing it says so to the peer and closes the transport. One writer.
/// </summary>
internal sealed class TransportWriter(ITransport transport) : PipeWriter
{
    private const int Usual = 4 * 1024;
    private readonly int best = transport is TlsTransport ? 16 * 1024 /* a record */ : 64 * 1024;
    private readonly Queue<ArraySegment<byte>> full = [];
    private byte[] piece = [];
    private int filled;
    private long queued;
    private Task flushing = Task.CompletedTask;
    private bool completed;
    private volatile bool cancelled;
    private volatile bool broken;

    /// <summary>Ends when all is said after <see cref="Complete"/>, and the transport is closed.</summary>
    public Task Ending { get; private set; } = Task.CompletedTask;

    /// <inheritdoc/>
    public override bool CanGetUnflushedBytes => true;

    /// <inheritdoc/>
    public override long UnflushedBytes => queued + filled;

    /// <inheritdoc/>
    public override Memory<byte> GetMemory(int sizeHint = 0)
    {
        if (piece.Length - filled < Math.Max(sizeHint, 1)) Grow(sizeHint);
        return piece.AsMemory(filled);
    }

    /// <inheritdoc/>
    public override Span<byte> GetSpan(int sizeHint = 0)
    {
        if (piece.Length - filled < Math.Max(sizeHint, 1)) Grow(sizeHint);
        return piece.AsSpan(filled);
    }

    /// <inheritdoc/>
    public override void Advance(int bytes)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)bytes, (uint)(piece.Length - filled));
        filled += bytes;
    }

    /// <inheritdoc/>
    public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
    {
        if (broken) Release();
        if (completed || UnflushedBytes == 0) return new(Flushed());
        ValueTask sending;
        try
        {
            sending = full.Count == 0 ? transport.SendAsync(piece.AsMemory(0, filled)) : SendAllAsync();
        }
        catch (Exception e) when (Transports.IsBreak(e))
        {
            Break();
            return new(Flushed());
        }

        if (sending.IsCompletedSuccessfully)
        {
            Release();
            return new(Flushed());
        }

        var rest = FlushAsync(sending, cancellationToken);
        flushing = rest;
        return new(rest);
    }

    /// <inheritdoc/>
    public override void CancelPendingFlush() => cancelled = true;

    /// <inheritdoc/>
    public override void Complete(Exception? exception = null)
    {
        if (completed) return;
        completed = true;
        Ending = EndAsync();
    }

    private FlushResult Flushed()
    {
        var result = new FlushResult(cancelled, completed || broken);
        if (cancelled) cancelled = false;
        return result;
    }

    private async Task<FlushResult> FlushAsync(ValueTask sending, CancellationToken cancel)
    {
        // What TLS has begun to send has to be sent to its end: giving up means closing.
        await using var givingUp = cancel.UnsafeRegister(static self => ((TransportWriter)self!).Break(), this);
        try
        {
            await sending;
        }
        catch (Exception e) when (Transports.IsBreak(e))
        {
            Break();
        }

        Release();
        return Flushed();
    }

    private async ValueTask SendAllAsync()
    {
        while (full.TryPeek(out var next))
        {
            await transport.SendAsync(next);
            full.Dequeue();
            queued -= next.Count;
            ArrayPool<byte>.Shared.Return(next.Array!);
        }

        if (filled > 0) await transport.SendAsync(piece.AsMemory(0, filled));
    }

    private async Task EndAsync()
    {
        await flushing;
        try
        {
            if (!broken)
            {
                await SendAllAsync();
                await transport.EndSendingAsync();
            }
        }
        catch (Exception e) when (Transports.IsBreak(e))
        {
            // Nobody is there to hear the end.
        }

        // The engine is done: what the client still sends is of no use.
        Break();
        Release();
    }

    /// <summary>The receiving side hears it from the transport.</summary>
    private void Break()
    {
        broken = true;
        transport.Dispose();
    }

    private void Grow(int least)
    {
        if (filled == 0 || (full.Count == 0 && piece.Length < best))
        {
            var larger = ArrayPool<byte>.Shared.Rent(Math.Max(filled + least, filled == 0 && queued == 0 ? Usual : best));
            piece.AsSpan(0, filled).CopyTo(larger);
            GiveBack();
            piece = larger;
            return;
        }

        full.Enqueue(new(piece, 0, filled));
        queued += filled;
        filled = 0;
        piece = ArrayPool<byte>.Shared.Rent(Math.Max(least, best));
    }

    private void Release()
    {
        while (full.TryDequeue(out var rest)) ArrayPool<byte>.Shared.Return(rest.Array!);
        GiveBack();
        piece = [];
        filled = 0;
        queued = 0;
    }

    private void GiveBack()
    {
        if (piece.Length > 0) ArrayPool<byte>.Shared.Return(piece);
    }
}
