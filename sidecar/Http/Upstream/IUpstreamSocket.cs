using System.Net.Sockets;

namespace Mesh.Sidecar.Http.Upstream;

/// <summary>
/// What an HTTP/1.1 connection sends and receives over, with one receive at a time: a socket, or TLS. While it is parked (idle in the pool)
/// the receive for the next answer is posted already, so that it tells at once when the peer closes or says something nobody asked for.
/// Owned by one connection; parking and taking are the only steps that race.
/// </summary>
internal interface IUpstreamSocket
{
    /// <summary>True after <see cref="TryTake"/> when the peer spoke or closed in the very moment: use another one.</summary>
    bool EndedMeanwhile { get; }

    /// <summary>True when it was closed while it waited.</summary>
    bool IsClosed { get; }

    /// <summary>Receives into <paramref name="into"/>: the number of bytes, 0 at the end of the stream, -1 when the connection broke.</summary>
    ValueTask<int> ReceiveAsync(Memory<byte> into);

    /// <summary>The receive that was posted by <see cref="Park"/>.</summary>
    ValueTask<int> PostedReceive();

    /// <summary>Sends all of <paramref name="bytes"/>; throws <see cref="SocketException"/> or <see cref="ObjectDisposedException"/>.</summary>
    ValueTask SendAsync(ReadOnlyMemory<byte> bytes);

    /// <summary>Lets it wait for its next use. False when the peer has closed or sent something: it is closed then.</summary>
    bool Park(Memory<byte> into);

    /// <summary>Takes it out of waiting; false when it closed meanwhile.</summary>
    bool TryTake();

    /// <summary>Closes it: a receive that runs ends with an error. Any thread.</summary>
    void Close();

    /// <summary>Closes it while a receive waits, so that the peer sees an orderly end (a plain close would be a reset).</summary>
    void Retire();

    /// <summary>Tells the peer that nothing more comes.</summary>
    void ShutdownSend();
}
