using System.Net.Sockets;
using System.Threading.Tasks.Sources;
using Mesh.Sidecar.Identity;

namespace Mesh.Sidecar.Http.Upstream;

/// <summary>
/// The same over TLS. What TLS says for itself (tickets, new keys) while it is parked goes by unseen; its end does not. One compare-and-swap
/// decides between who takes it and what it hears.
/// </summary>
internal sealed class TlsUpstreamSocket : IUpstreamSocket, IValueTaskSource<int>
{
    private const int InUse = 0;
    private const int Parked = 1;
    private const int Closed = 2;
    private readonly TlsTransport transport;
    private readonly Action received;
    private ManualResetValueTaskSourceCore<int> receive;
    private System.Runtime.CompilerServices.ValueTaskAwaiter<int> running;
    private int state;

    /// <summary>Takes over a secured connection.</summary>
    public TlsUpstreamSocket(TlsTransport transport)
    {
        this.transport = transport;
        received = OnReceived;
    }

    /// <inheritdoc/>
    public bool EndedMeanwhile => receive.GetStatus(receive.Version) != ValueTaskSourceStatus.Pending;

    /// <inheritdoc/>
    public bool IsClosed => Volatile.Read(ref state) == Closed;

    /// <inheritdoc/>
    public ValueTask<int> ReceiveAsync(Memory<byte> into)
    {
        receive.Reset();
        Begin(into);
        if (!running.IsCompleted)
        {
            running.UnsafeOnCompleted(received);
            return PostedReceive();
        }

        return new ValueTask<int>(Result());
    }

    /// <inheritdoc/>
    public ValueTask<int> PostedReceive() => new(this, receive.Version);

    /// <inheritdoc/>
    public ValueTask SendAsync(ReadOnlyMemory<byte> bytes)
    {
        var sent = transport.SendAsync(bytes);
        return sent.IsCompletedSuccessfully ? sent : Await(sent);

        // Who sends tells an upstream that broke from a client that broke by the kind of exception.
        static async ValueTask Await(ValueTask sending)
        {
            try
            {
                await sending;
            }
            catch (IOException e)
            {
                throw e.InnerException as SocketException ?? new SocketException((int)SocketError.ConnectionReset);
            }
        }
    }

    /// <inheritdoc/>
    public bool Park(Memory<byte> into)
    {
        receive.Reset();
        Volatile.Write(ref state, Parked);
        Begin(into);
        if (!running.IsCompleted)
        {
            running.UnsafeOnCompleted(received);
            return true;
        }

        Result();
        if (Interlocked.Exchange(ref state, Closed) == Parked) transport.Dispose();
        return false;
    }

    /// <inheritdoc/>
    public bool TryTake() => Interlocked.CompareExchange(ref state, InUse, Parked) == Parked;

    /// <inheritdoc/>
    public void Close()
    {
        Volatile.Write(ref state, Closed);
        transport.Dispose();
    }

    /// <inheritdoc/>
    public void Retire()
    {
        ShutdownSend();
        Close();
    }

    /// <inheritdoc/>
    public void ShutdownSend()
    {
        try
        {
            // A few bytes into a socket: done at once, or the peer does not read, and then it need not hear it.
            _ = transport.EndSendingAsync().AsTask().ContinueWith(static t => _ = t.Exception, TaskScheduler.Default);
        }
        catch (Exception e) when (Transports.IsBreak(e))
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

    private void Begin(Memory<byte> into)
    {
        try
        {
            running = transport.ReceiveAsync(into).GetAwaiter();
        }
        catch (Exception e) when (Transports.IsBreak(e))
        {
            running = new ValueTask<int>(-1).GetAwaiter();
        }
    }

    private int Result()
    {
        try
        {
#pragma warning disable VSTHRD002 // Only called when it is complete.
            return running.GetResult();
#pragma warning restore VSTHRD002
        }
        catch (Exception e) when (Transports.IsBreak(e))
        {
            return -1;
        }
    }

    private void OnReceived()
    {
        var count = Result();
        if (Interlocked.CompareExchange(ref state, Closed, Parked) == Parked) transport.Dispose();
        else receive.SetResult(count);
    }
}
