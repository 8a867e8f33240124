using System.Buffers;
using System.Buffers.Binary;
using System.Net.Sockets;

namespace Mesh.Sidecar.Dns;

/// <summary>
/// A message as it travels over TCP, with its length before it, in a pooled buffer. Owned by whoever read it or made it; disposing returns the buffer.
/// </summary>
internal sealed class Frame(int most) : IDisposable
{
    private const int Prefix = 2;
    private readonly byte[] buffer = ArrayPool<byte>.Shared.Rent(Prefix + most);

    /// <summary>Bytes of the message.</summary>
    public int Length { get; set; } = most;

    /// <summary>The message.</summary>
    public Memory<byte> Message => buffer.AsMemory(Prefix, Length);

    /// <summary>Reads a frame; null when the other side has ended.</summary>
    public static async Task<Frame?> ReadAsync(Socket from, CancellationToken cancel)
    {
        var head = ArrayPool<byte>.Shared.Rent(Prefix);
        int length;
        try
        {
            if (!await FillAsync(from, head.AsMemory(0, Prefix), cancel)) return null;
            length = BinaryPrimitives.ReadUInt16BigEndian(head);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(head);
        }

        var frame = new Frame(length);
        try
        {
            if (await FillAsync(from, frame.Message, cancel)) return frame;
        }
        catch
        {
            frame.Dispose();
            throw;
        }

        frame.Dispose();
        return null;
    }

    /// <summary>Writes it whole.</summary>
    public async Task WriteAsync(Socket to, CancellationToken cancel)
    {
        BinaryPrimitives.WriteUInt16BigEndian(buffer, (ushort)Length);
        for (var sent = 0; sent < Prefix + Length;) sent += await to.SendAsync(buffer.AsMemory(sent, Prefix + Length - sent), SocketFlags.None, cancel);
    }

    /// <inheritdoc/>
    public void Dispose() => ArrayPool<byte>.Shared.Return(buffer);

    private static async Task<bool> FillAsync(Socket from, Memory<byte> to, CancellationToken cancel)
    {
        while (!to.IsEmpty)
        {
            var got = await from.ReceiveAsync(to, SocketFlags.None, cancel);
            if (got == 0) return false;
            to = to[got..];
        }

        return true;
    }
}
