using System.Net.Sockets;
using System.Runtime.CompilerServices;

namespace Mesh.Sidecar.Identity;

/// <summary>
/// The socket below an <see cref="System.Net.Security.SslStream"/>. That asks before each message whether something has come (a read of no
/// bytes) and only then rents its large buffer; a plain socket answers with a receive that fetches nothing. Here the question fetches up to
/// four KiB, which is most messages whole: one system call fewer for each, and an idle connection holds no large buffer.
/// Owned by its TLS stream; one reader and one writer at a time.
/// </summary>
internal sealed class TlsSocketStream(Socket socket) : Stream
{
    private const int Small = 4 * 1024;
    private byte[]? waiting;
    private int start;
    private int count;
    private bool pours;
    private int closed;

    /// <summary>True once the peer's end of sending was seen: an end of TLS that came without its word is a cut.</summary>
    public bool SawEnd { get; private set; }

    /// <summary>Called once, when it is closed.</summary>
    public Action? OnClosed { get; set; }

    /// <inheritdoc/>
    public override bool CanRead => true;

    /// <inheritdoc/>
    public override bool CanSeek => false;

    /// <inheritdoc/>
    public override bool CanWrite => true;

    /// <inheritdoc/>
    public override long Length => throw new NotSupportedException();

    /// <inheritdoc/>
    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    /// <inheritdoc/>
    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (count > 0) return new ValueTask<int>(buffer.IsEmpty ? 0 : Take(buffer.Span));
        if (SawEnd || (buffer.IsEmpty && pours)) return new ValueTask<int>(0);
        return buffer.IsEmpty ? FetchAsync(cancellationToken) : ReceiveAsync(buffer, cancellationToken);
    }

    /// <inheritdoc/>
    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        var sent = socket.SendAsync(buffer, SocketFlags.None, cancellationToken);
        if (!sent.IsCompletedSuccessfully) return Await(sent);
        _ = sent.Result;
        return default;

        [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
        static async ValueTask Await(ValueTask<int> sending) => await sending;
    }

    /// <inheritdoc/>
    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException("nothing here waits on a thread");

    /// <inheritdoc/>
    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException("nothing here waits on a thread");

    /// <inheritdoc/>
    public override void Flush()
    {
    }

    /// <inheritdoc/>
    public override Task FlushAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc/>
    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    /// <inheritdoc/>
    public override void SetLength(long value) => throw new NotSupportedException();

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (!disposing || Interlocked.Exchange(ref closed, 1) != 0) return;
        socket.Dispose();
        OnClosed?.Invoke();
    }

    private int Take(Span<byte> into)
    {
        var taken = Math.Min(into.Length, count);
        waiting.AsSpan(start, taken).CopyTo(into);
        start += taken;
        count -= taken;
        return taken;
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<int> FetchAsync(CancellationToken cancel)
    {
        waiting ??= GC.AllocateUninitializedArray<byte>(Small);
        var fetched = await socket.ReceiveAsync(waiting, SocketFlags.None, cancel);
        Note(fetched);
        (start, count) = (0, fetched);
        pours = fetched == Small;
        return 0;
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<int> ReceiveAsync(Memory<byte> into, CancellationToken cancel)
    {
        var received = await socket.ReceiveAsync(into, SocketFlags.None, cancel);
        Note(received);
        pours = received >= Small;
        return received;
    }

    private void Note(int received)
    {
        if (received == 0) SawEnd = true;
    }
}
