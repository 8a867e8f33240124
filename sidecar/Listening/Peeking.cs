using System.Buffers;
using System.Net.Sockets;

namespace Mesh.Sidecar.Listening;

/// <summary>
/// The bytes a connection begins with, looked at and left where they are. Where the kernel can (SO_PEEK_OFF for TCP, Linux 6.9 and later) each
/// look waits for what is new; elsewhere looking returns the same bytes at once, and it pauses between looks once the first bytes are there. One
/// reader at a time; dispose it before anybody else reads the socket.
/// </summary>
internal sealed class Peeking(Socket socket, TimeProvider time) : IDisposable
{
    private const int Usual = 1024;
    private const int SocketLevel = 1; // SOL_SOCKET
    private const int PeekOffset = 42; // SO_PEEK_OFF
    private const int LowWater = 18; // SO_RCVLOWAT
    private static readonly TimeSpan ShortestPause = TimeSpan.FromMilliseconds(1);
    private static readonly TimeSpan LongestPause = TimeSpan.FromMilliseconds(50);
    private static volatile bool isMissing;
    private byte[]? bytes;
    private int count;
    private bool follows;
    private bool wasCut;

    /// <summary>What has come so far.</summary>
    public ReadOnlySpan<byte> Bytes => bytes.AsSpan(0, count);

    /// <summary>How kernels without SO_PEEK_OFF are, for tests.</summary>
    public bool IsOldKernel { get; init; }

    /// <summary>Waits until there is more, at most <paramref name="most"/> in all; false when nothing more will come.</summary>
    public ValueTask<bool> MoreAsync(int most, CancellationToken cancel)
    {
        bytes ??= ArrayPool<byte>.Shared.Rent(Usual);
        if (count == bytes.Length) Grow(most);
        if (count > 0 && !follows) follows = TryFollow();
        return count == 0 || follows ? NextAsync(cancel) : AfterPausesAsync(cancel);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (follows) TrySet(PeekOffset, -1);
        // A receive that was cut short stays in the runtime's queue until the socket is readable anew, and whoever reads next behind it, though bytes
        // are there. Setting the low-water mark makes the kernel say so again.
        if (wasCut) TrySet(LowWater, 1);
        if (bytes is not null) ArrayPool<byte>.Shared.Return(bytes);
        bytes = null;
    }

    private async ValueTask<bool> NextAsync(CancellationToken cancel)
    {
        try
        {
            var more = await socket.ReceiveAsync(bytes.AsMemory(count), SocketFlags.Peek, cancel);
            count += more;
            return more > 0;
        }
        catch (OperationCanceledException)
        {
            wasCut = follows;
            throw;
        }
    }

    private async ValueTask<bool> AfterPausesAsync(CancellationToken cancel)
    {
        for (var pause = ShortestPause; ; pause = pause < LongestPause ? pause * 2 : pause)
        {
            var there = await socket.ReceiveAsync(bytes.AsMemory(), SocketFlags.Peek, cancel);
            if (there == 0) return false;
            if (there > count)
            {
                count = there;
                return true;
            }

            await Task.Delay(pause, time, cancel);
        }
    }

    private bool TryFollow()
    {
        if (isMissing || IsOldKernel) return false;
        if (TrySet(PeekOffset, count)) return true;
        // A socket that is gone takes nothing at all, and says nothing about the kernel.
        if (TrySet(LowWater, 1)) isMissing = true;
        return false;
    }

    private bool TrySet(int option, int value)
    {
        try
        {
            socket.SetRawSocketOption(SocketLevel, option, BitConverter.GetBytes(value));
            return true;
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // A kernel that does not know it, or a connection that is gone.
            return false;
        }
    }

    /// <summary>What lies there is more than usual. Whoever says nothing costs little, however many they are.</summary>
    private void Grow(int most)
    {
        var larger = ArrayPool<byte>.Shared.Rent(Math.Min(bytes!.Length * 4, Math.Max(most, bytes.Length + 1)));
        Bytes.CopyTo(larger);
        ArrayPool<byte>.Shared.Return(bytes);
        bytes = larger;
    }
}
