using System.Net.Security;
using System.Net.Sockets;
using System.Runtime.CompilerServices;

namespace Mesh.Sidecar.Identity;

/// <summary>
/// A connection over TLS whose peer was proven. Made by a handshake, owned by whoever it was handed to; while it is open
/// <see cref="SecuredConnections"/> knows it by the peer's identity.
/// </summary>
internal sealed class TlsTransport : ITransport
{
    private readonly SslStream tls;
    private readonly TlsSocketStream wire;
    private readonly Socket socket;

    /// <summary>Takes over a stream whose handshake is done.</summary>
    public TlsTransport(SslStream tls, TlsSocketStream wire, Socket socket, PeerIdentity peer)
    {
        (this.tls, this.wire, this.socket, Peer) = (tls, wire, socket, peer);
        Protocol = tls.NegotiatedApplicationProtocol.ToString();
        wire.OnClosed = () => OnClosed?.Invoke(this);
    }

    /// <inheritdoc/>
    public Socket Socket => socket;

    /// <inheritdoc/>
    public PeerIdentity Peer { get; }

    /// <summary>The protocol both sides agreed on; empty when none was.</summary>
    public string Protocol { get; }

    /// <summary>Called once, when it is closed.</summary>
    public Action<TlsTransport>? OnClosed { get; set; }

    /// <summary>The stream, for a user that wants one: disposing it closes the connection.</summary>
    public SslStream Stream => tls;

    /// <inheritdoc/>
    public ValueTask WaitAsync()
    {
        var arrival = tls.ReadAsync(Memory<byte>.Empty);
        if (!arrival.IsCompletedSuccessfully) return Await(arrival);
        _ = arrival.Result;
        return default;

        [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
        static async ValueTask Await(ValueTask<int> arriving) => await arriving;
    }

    /// <inheritdoc/>
    public ValueTask<int> ReceiveAsync(Memory<byte> into) => tls.ReadAsync(into);

    /// <inheritdoc/>
    public ValueTask SendAsync(ReadOnlyMemory<byte> bytes) => tls.WriteAsync(bytes);

    /// <inheritdoc/>
    public async ValueTask EndSendingAsync()
    {
        try
        {
            Task ending;
            lock (OpenSslSettings.LockOf(tls)) ending = tls.ShutdownAsync();
            await ending;
        }
        catch (InvalidOperationException e)
        {
            throw new IOException("the connection is closed", e);
        }

        socket.Shutdown(SocketShutdown.Send);
    }

    /// <inheritdoc/>
    public void Reset()
    {
        Transports.Reset(socket);
        Dispose();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        // The socket first: what runs on it ends now, and TLS is not taken away below it.
        wire.Dispose();
        tls.Dispose();
    }
}
