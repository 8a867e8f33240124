using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Threading.Tasks.Sources;

namespace Mesh.Sidecar.Identity;

/// <summary>
/// The socket below an <see cref="System.Net.Security.SslStream"/>. That asks before each message whether something has come (a read of no
/// bytes) and only then rents its large buffer; a plain socket answers with a receive that fetches nothing. Here the question fetches up to
/// four KiB, which is most messages whole: one system call fewer for each, and an idle connection holds no large buffer.
/// TLS says when it ends and is not asked any further then. When the connection ends without that, somebody cut it: that is an error, not an end.
/// Owned by its TLS stream; one reader and one writer at a time.
/// </summary>
internal sealed class TlsSocketStream(Socket socket) : Stream
{
    private const int Small = 4 * 1024;
    private Question? question;
    private byte[]? waiting;
    private int start;
    private int count;
    private bool pours;
    private int closed;

    /// <summary>True once the peer's end of sending was seen, without TLS's word for it.</summary>
    public bool SawEnd { get; private set; }

    /// <summary>Called whenever TLS waits for its peer, until it returns true.</summary>
    public Func<bool>? InHandshake { get; set; }

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
        if (SawEnd) throw Cut();
        if (InHandshake is not null && InHandshake()) InHandshake = null;
        if (!buffer.IsEmpty) return ReceiveAsync(buffer, cancellationToken);
        // What is there already is fetched at once by the large buffer; where nothing is, the last of a burst was it.
        if (pours && socket.Available > 0) return new ValueTask<int>(0);
        waiting ??= GC.AllocateUninitializedArray<byte>(Small);
        // A handshake can be cancelled, and only the socket's own call knows how; later, closing is what ends it.
        return cancellationToken.CanBeCanceled ? FetchAsync(cancellationToken) : (question ??= new Question(this, socket)).Ask();
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
        question?.Dispose();
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

    private async ValueTask<int> FetchAsync(CancellationToken cancel)
    {
        Fetched(await socket.ReceiveAsync(waiting, SocketFlags.None, cancel));
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

    private void Fetched(int fetched)
    {
        Note(fetched);
        (start, count) = (0, fetched);
        pours = fetched == Small;
    }

    private void Note(int received)
    {
        if (received != 0) return;
        SawEnd = true;
        throw Cut();
    }

    private static IOException Cut() => new("the connection ended without TLS's word for it");

    /// <summary>The question as one object for all times it is asked: TLS asks before each message. Owned by its stream.</summary>
    private sealed class Question(TlsSocketStream of, Socket socket) : SocketAsyncEventArgs(true /* no execution context: nothing here flows one */), IValueTaskSource<int>
    {
        private ManualResetValueTaskSourceCore<bool> answer;

        public ValueTask<int> Ask()
        {
            answer.Reset();
            SetBuffer(of.waiting);
            if (socket.ReceiveAsync(this)) return new ValueTask<int>(this, answer.Version);
            Take();
            return new ValueTask<int>(0);
        }

        int IValueTaskSource<int>.GetResult(short token)
        {
            answer.GetResult(token);
            Take();
            return 0;
        }

        ValueTaskSourceStatus IValueTaskSource<int>.GetStatus(short token) => answer.GetStatus(token);

        void IValueTaskSource<int>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
            answer.OnCompleted(continuation, state, token, flags);

        protected override void OnCompleted(SocketAsyncEventArgs e) => answer.SetResult(true);

        private void Take()
        {
            if (SocketError != SocketError.Success) throw new SocketException((int)SocketError);
            of.Fetched(BytesTransferred);
        }
    }
}
