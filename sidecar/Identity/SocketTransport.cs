using System.Net.Sockets;
using System.Runtime.CompilerServices;

namespace Mesh.Sidecar.Identity;

/// <summary>A connection in plaintext. Owned by whoever it was handed to.</summary>
internal sealed class SocketTransport(Socket socket) : ITransport
{
    private static readonly Memory<byte> Scrap = new byte[1];

    /// <inheritdoc/>
    public Socket Socket => socket;

    /// <inheritdoc/>
    public PeerIdentity? Peer => null;

    /// <inheritdoc/>
    public ValueTask WaitAsync()
    {
        // Not a receive of nothing: the runtime ends that by any word of the kernel, also by one about bytes that were received meanwhile. Who believed
        // it would hold what it has, and a large buffer, until the next byte comes.
        var arrival = socket.ReceiveAsync(Scrap, SocketFlags.Peek);
        if (!arrival.IsCompletedSuccessfully) return Await(arrival);
        _ = arrival.Result;
        return default;

        [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
        static async ValueTask Await(ValueTask<int> arriving) => await arriving;
    }

    /// <inheritdoc/>
    public ValueTask<int> ReceiveAsync(Memory<byte> into) => socket.ReceiveAsync(into, SocketFlags.None);

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
    public ValueTask EndSendingAsync()
    {
        socket.Shutdown(SocketShutdown.Send);
        return default;
    }

    /// <inheritdoc/>
    public void Reset() => Transports.Reset(socket);

    /// <inheritdoc/>
    public void Dispose() => socket.Dispose();
}
