using System.Net.Sockets;
using Mesh.Sidecar.Identity;

namespace Mesh.Sidecar.Listening;

/// <summary>
/// A connection to a server that was listened to before anybody carried its bytes: what it has said, and the receive that waits, come first for
/// whoever receives next. One hears, then one receives; disposing it, from any thread, ends what runs.
/// </summary>
internal sealed class EarlyTransport(ITransport inner) : ITransport
{
    /// <summary>What a server says first is short; more of it is left where it is.</summary>
    private const int MostHeard = 512;
    private readonly Lock gate = new();
    private byte[] bytes = new byte[MostHeard];
    private int from;
    private int to;
    private Task<int>? pending;
    private bool isHandedOn;

    /// <inheritdoc/>
    public Socket Socket => inner.Socket;

    /// <inheritdoc/>
    public PeerIdentity? Peer => inner.Peer;

    /// <summary>What was heard. Only for who hears.</summary>
    public ReadOnlySpan<byte> Heard => bytes.AsSpan(0, to);

    /// <summary>True when no more can be heard.</summary>
    public bool IsFull => to == MostHeard;

    /// <summary>Hears more: the number of bytes, 0 at the end, less once the connection was handed on.</summary>
    public async Task<int> HearAsync()
    {
        Task<int> received;
        lock (gate)
        {
            if (isHandedOn) return -1;
            received = pending = inner.ReceiveAsync(bytes.AsMemory(to)).AsTask();
        }

        var count = await received;
        lock (gate)
        {
            // Who received it has the bytes.
            if (isHandedOn) return -1;
            pending = null;
            to += count;
            return count;
        }
    }

    /// <inheritdoc/>
    public ValueTask WaitAsync() => isHandedOn && pending is null && from == to ? inner.WaitAsync() : WaitHeardAsync();

    /// <inheritdoc/>
    public ValueTask<int> ReceiveAsync(Memory<byte> into) =>
        isHandedOn && pending is null && from == to ? inner.ReceiveAsync(into) : ReceiveHeardAsync(into);

    /// <inheritdoc/>
    public ValueTask SendAsync(ReadOnlyMemory<byte> bytes) => inner.SendAsync(bytes);

    /// <inheritdoc/>
    public ValueTask EndSendingAsync() => inner.EndSendingAsync();

    /// <inheritdoc/>
    public void Reset() => inner.Reset();

    /// <inheritdoc/>
    public void Dispose() => inner.Dispose();

    private async ValueTask WaitHeardAsync()
    {
        lock (gate) isHandedOn = true;
        if (from != to) return;
        if (pending is null) await inner.WaitAsync();
        else await pending; // whoever receives next has what it brings
    }

    private async ValueTask<int> ReceiveHeardAsync(Memory<byte> into)
    {
        lock (gate) isHandedOn = true;
        if (from == to)
        {
            if (pending is null) return await inner.ReceiveAsync(into);
            var received = await pending;
            pending = null;
            to += received;
            if (received == 0) return 0;
        }

        var count = Math.Min(into.Length, to - from);
        bytes.AsMemory(from, count).CopyTo(into);
        from += count;
        if (from == to && pending is null) (bytes, from, to) = ([], 0, 0);
        return count;
    }
}
