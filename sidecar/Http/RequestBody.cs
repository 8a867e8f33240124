using System.Buffers;
using System.IO.Pipelines;

namespace Mesh.Sidecar.Http;

/// <summary>A piece of a request body.</summary>
/// <param name="Bytes">The bytes, valid until the piece is taken or given back.</param>
/// <param name="Last">True when nothing follows.</param>
/// <param name="Cancelled">True when reading was cancelled: there is no piece.</param>
internal readonly record struct BodyPiece(ReadOnlySequence<byte> Bytes, bool Last, bool Cancelled = false);

/// <summary>
/// The body of a request on its way from the client: read piece by piece, never whole. When the route may send it again, what was read is
/// kept up to 64 KiB; a larger body streams on and simply cannot be sent again. One per exchange, one reader at a time.
/// </summary>
internal sealed class RequestBody
{
    /// <summary>Most bytes that are kept for another try.</summary>
    public const int MostKept = 64 * 1024;
    private const int LargestPiece = 64 * 1024;
    private PipeReader? reader;
    private byte[] kept = [];
    private int keptCount;
    private int replayed;
    private bool keep;
    private bool ended;
    private bool live;
    private long consumed;

    /// <summary>Bytes read from the client so far.</summary>
    public long Consumed => consumed;

    /// <summary>True when there is a body to read.</summary>
    public bool Exists => reader is not null;

    /// <summary>True when the client has sent all of it.</summary>
    public bool Ended => ended;

    /// <summary>True when all that was read is kept (or nothing was read): it can be sent again.</summary>
    public bool Rewindable => consumed == keptCount;

    /// <summary>Begins a new request; <paramref name="from"/> is null without a body.</summary>
    public void Begin(PipeReader? from)
    {
        reader = from;
        keptCount = replayed = 0;
        consumed = 0;
        keep = live = false;
        ended = from is null;
    }

    /// <summary>From now on what is read is kept. Call before the first read.</summary>
    public void Keep() => keep = true;

    /// <summary>Begins again at the front, for another try.</summary>
    public void Rewind() => replayed = 0;

    /// <summary>A piece that is there already.</summary>
    public bool TryRead(out BodyPiece piece)
    {
        if (TryReplay(out piece)) return true;
        if (!reader!.TryRead(out var read)) return false;
        piece = Live(read);
        return true;
    }

    /// <summary>The next piece. Throws what the reader throws: the client sent garbage or went away.</summary>
    public async ValueTask<BodyPiece> ReadAsync() => TryReplay(out var piece) ? piece : Live(await reader!.ReadAsync());

    /// <summary>The piece was sent.</summary>
    public void Taken(in BodyPiece piece)
    {
        if (!live)
        {
            replayed += (int)piece.Bytes.Length;
            return;
        }

        Remember(piece.Bytes);
        consumed += piece.Bytes.Length;
        ended |= piece.Last;
        live = false;
        reader!.AdvanceTo(piece.Bytes.End);
    }

    /// <summary>Nothing of the piece was sent: it comes again.</summary>
    public void GiveBack(in BodyPiece piece)
    {
        if (!live) return;
        live = false;
        reader!.AdvanceTo(piece.Bytes.Start);
    }

    /// <summary>Ends a read that waits. Any thread.</summary>
    public void Cancel() => reader?.CancelPendingRead();

    /// <summary>Lets go of what was kept.</summary>
    public void End()
    {
        if (kept.Length > 0) ArrayPool<byte>.Shared.Return(kept);
        kept = [];
        reader = null;
    }

    private bool TryReplay(out BodyPiece piece)
    {
        piece = default;
        if (replayed < keptCount) piece = new BodyPiece(new ReadOnlySequence<byte>(kept, replayed, keptCount - replayed), ended);
        else if (ended) piece = new BodyPiece(default, true);
        else return false;
        return true;
    }

    private BodyPiece Live(in ReadResult read)
    {
        live = true;
        if (read.IsCanceled)
        {
            live = false;
            reader!.AdvanceTo(read.Buffer.Start);
            return new BodyPiece(default, false, Cancelled: true);
        }

        var whole = read.Buffer.Length <= LargestPiece;
        return new BodyPiece(whole ? read.Buffer : read.Buffer.Slice(0, LargestPiece), whole && read.IsCompleted);
    }

    private void Remember(in ReadOnlySequence<byte> bytes)
    {
        if (!keep) return;
        if (keptCount + bytes.Length > MostKept)
        {
            keep = false;
            return;
        }

        if (kept.Length < keptCount + bytes.Length)
        {
            var larger = ArrayPool<byte>.Shared.Rent(Math.Max(4096, (int)(keptCount + bytes.Length)));
            kept.AsSpan(0, keptCount).CopyTo(larger);
            if (kept.Length > 0) ArrayPool<byte>.Shared.Return(kept);
            kept = larger;
        }

        bytes.CopyTo(kept.AsSpan(keptCount));
        keptCount += (int)bytes.Length;
        replayed = keptCount;
    }
}
