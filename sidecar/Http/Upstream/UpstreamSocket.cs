using System.Net.Sockets;
using System.Threading.Tasks.Sources;

namespace Mesh.Sidecar.Http.Upstream;

/// <summary>
/// A connected socket with one receive at a time. While it is parked (idle in the pool) the receive for the next answer is posted already:
/// it costs nothing extra, and it tells at once when the peer closes or says something nobody asked for.
/// Owned by one connection; parking and taking are the only steps that race, and one compare-and-swap decides them.
/// </summary>
internal sealed class UpstreamSocket(Socket socket) : SocketAsyncEventArgs(true /* no execution context: nothing here flows one */), IValueTaskSource<int>
{
    private const int InUse = 0;
    private const int Parked = 1;
    private const int Closed = 2;
    private ManualResetValueTaskSourceCore<int> receive;
    private int state;

    /// <summary>True after <see cref="TryTake"/> when the peer spoke or closed in the very moment: use another one.</summary>
    public bool EndedMeanwhile => receive.GetStatus(receive.Version) != ValueTaskSourceStatus.Pending;

    /// <summary>Receives into <paramref name="into"/>: the number of bytes, 0 at the end of the stream, -1 when the connection broke.</summary>
    public ValueTask<int> ReceiveAsync(Memory<byte> into)
    {
        receive.Reset();
        SetBuffer(into);
        try
        {
            if (socket.ReceiveAsync(this)) return new ValueTask<int>(this, receive.Version);
        }
        catch (ObjectDisposedException)
        {
            return new ValueTask<int>(-1);
        }

        return new ValueTask<int>(SocketError == SocketError.Success ? BytesTransferred : -1);
    }

    /// <summary>Sends all of <paramref name="bytes"/>.</summary>
    public ValueTask<int> SendAsync(ReadOnlyMemory<byte> bytes) => socket.SendAsync(bytes, SocketFlags.None);

    /// <summary>Lets it wait for its next use. False when the peer has closed or sent something: it is closed then.</summary>
    public bool Park(Memory<byte> into)
    {
        receive.Reset();
        SetBuffer(into);
        Volatile.Write(ref state, Parked);
        try
        {
            if (socket.ReceiveAsync(this)) return true;
        }
        catch (ObjectDisposedException)
        {
            // Aborted in this moment.
        }

        if (Interlocked.Exchange(ref state, Closed) == Parked) socket.Dispose();
        return false;
    }

    /// <summary>Takes it out of waiting; false when it closed meanwhile.</summary>
    public bool TryTake() => Interlocked.CompareExchange(ref state, InUse, Parked) == Parked;

    /// <summary>The receive that was posted by <see cref="Park"/>.</summary>
    public ValueTask<int> PostedReceive() => new(this, receive.Version);

    /// <summary>True when it was closed while it waited.</summary>
    public bool IsClosed => Volatile.Read(ref state) == Closed;

    /// <summary>Closes it: a receive that runs ends with an error. Any thread.</summary>
    public void Close()
    {
        Volatile.Write(ref state, Closed);
        socket.Dispose();
    }

    /// <summary>Closes it while a receive waits, so that the peer sees an orderly end (a plain close would be a reset).</summary>
    public void Retire()
    {
        Shutdown(SocketShutdown.Both);
        Close();
    }

    /// <summary>Tells the peer that nothing more comes.</summary>
    public void ShutdownSend() => Shutdown(SocketShutdown.Send);

    private void Shutdown(SocketShutdown what)
    {
        try
        {
            socket.Shutdown(what);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // The peer is gone; the receive says so.
        }
    }

    /// <inheritdoc/>
    int IValueTaskSource<int>.GetResult(short token) => receive.GetResult(token);

    /// <inheritdoc/>
    ValueTaskSourceStatus IValueTaskSource<int>.GetStatus(short token) => receive.GetStatus(token);

    /// <inheritdoc/>
    void IValueTaskSource<int>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        receive.OnCompleted(continuation, state, token, flags);

    /// <inheritdoc/>
    protected override void OnCompleted(SocketAsyncEventArgs e)
    {
        if (Interlocked.CompareExchange(ref state, Closed, Parked) == Parked)
        {
            socket.Dispose();
            return;
        }

        receive.SetResult(SocketError == SocketError.Success ? BytesTransferred : -1);
    }
}
