using System.Net.Sockets;
using System.Threading.Tasks.Sources;

namespace Mesh.Sidecar.Http.Upstream;

/// <summary>
/// A connected socket in plaintext. The receive that is posted while it is parked costs nothing extra. One compare-and-swap decides between
/// who takes it and what it hears.
/// </summary>
internal sealed class UpstreamSocket(Socket socket)
    : SocketAsyncEventArgs(true /* no execution context: nothing here flows one */), IUpstreamSocket, IValueTaskSource<int>
{
    private const int InUse = 0;
    private const int Parked = 1;
    private const int Closed = 2;
    private ManualResetValueTaskSourceCore<int> receive;
    private int state;

    /// <inheritdoc/>
    public bool EndedMeanwhile => receive.GetStatus(receive.Version) != ValueTaskSourceStatus.Pending;

    /// <inheritdoc/>
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

    /// <inheritdoc/>
    public ValueTask SendAsync(ReadOnlyMemory<byte> bytes)
    {
        var sent = socket.SendAsync(bytes, SocketFlags.None);
        if (!sent.IsCompletedSuccessfully) return Await(sent);
        _ = sent.Result;
        return default;

        static async ValueTask Await(ValueTask<int> sending) => await sending;
    }

    /// <inheritdoc/>
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

    /// <inheritdoc/>
    public bool TryTake() => Interlocked.CompareExchange(ref state, InUse, Parked) == Parked;

    /// <inheritdoc/>
    public ValueTask<int> PostedReceive() => new(this, receive.Version);

    /// <inheritdoc/>
    public bool IsClosed => Volatile.Read(ref state) == Closed;

    /// <inheritdoc/>
    public void Close()
    {
        Volatile.Write(ref state, Closed);
        socket.Dispose();
    }

    /// <inheritdoc/>
    public void Retire()
    {
        Shutdown(SocketShutdown.Both);
        Close();
    }

    /// <inheritdoc/>
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
