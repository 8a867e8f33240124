using System.Buffers;
using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Dns;

/// <summary>
/// Serves a UDP socket: names of the mesh are answered where they are read, by one loop; what has to be forwarded takes a place and a task of its own.
/// Owned by <see cref="DnsServer"/>.
/// </summary>
internal sealed class DatagramServer(Socket socket, Responder responder, UdpForwarder forwarder, Places places, DnsCounters counters, TimeProvider time)
{
    /// <summary>Longest query: nobody asks that much.</summary>
    private const int MostQuery = 4096;

    private const int MostAnswer = 4096;

    /// <summary>What waits in the kernel while the loop is held up; where that allows less, it is less. A lost query costs its client seconds.</summary>
    private const int Waiting = 1 << 20;

    /// <summary>How long a query waits for its turn to be forwarded.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);

    /// <summary>Answers until it is cancelled.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        socket.ReceiveBufferSize = Waiting;
        var (query, answer) = (new byte[MostQuery], new byte[MostAnswer]);
        var from = new SocketAddress(socket.AddressFamily);
        while (!stop.IsCancellationRequested)
        {
            try
            {
                var length = await socket.ReceiveFromAsync(query, SocketFlags.None, from, stop);
                Serve(query.AsMemory(0, length), answer, from, stop);
            }
            catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException)
            {
                return;
            }
            catch (Exception e) when (e is not OutOfMemoryException)
            {
                // One bad datagram, or a client that is gone, must not end the loop.
                counters.Add(DnsOutcome.Fault);
            }
        }
    }

    private void Serve(ReadOnlyMemory<byte> message, byte[] answer, SocketAddress from, CancellationToken stop)
    {
        var length = responder.Answer(message.Span, answer, tcp: false, Sender(from), out var query);
        if (length == Responder.Forward)
        {
            if (places.TryTake())
            {
                Forward(message, query, from, stop);
                return;
            }

            length = responder.Fail(message.Span, answer, query, DnsOutcome.OverLimit);
        }

        if (length > 0) Send(answer.AsSpan(0, length), from);
    }

    /// <summary>Goes on elsewhere: there sockets are made, and here the next query waits.</summary>
    private void Forward(ReadOnlyMemory<byte> message, DnsQuery query, SocketAddress from, CancellationToken stop)
    {
        var (copy, length, sender) = (Copy(message), message.Length, Copy(from));
        _ = Task.Run(() => ForwardAsync(copy, length, query, sender, stop), CancellationToken.None);
    }

    /// <summary>One query in its turn, and its answer; ends within a client's timeout. Owns the copy of the message.</summary>
    private async Task ForwardAsync(byte[] message, int messageLength, DnsQuery query, SocketAddress from, CancellationToken stop)
    {
        try
        {
            using var late = new CancellationTokenSource(Patience, time);
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(stop, late.Token);
            if (await places.EnterAsync(limit.Token)) await AskAsync(message, messageLength, query, from, stop);
            else Refuse(message, query, from);
        }
        catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException)
        {
            // The server stops.
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            counters.Add(DnsOutcome.Fault);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(message);
            places.Return();
        }
    }

    private async Task AskAsync(byte[] message, int messageLength, DnsQuery query, SocketAddress from, CancellationToken stop)
    {
        var answer = ArrayPool<byte>.Shared.Rent(DnsWire.LeastUdp);
        counters.Wait(1);
        try
        {
            using var heard = await forwarder.AskAsync(message.AsMemory(0, messageLength), query, stop);
            if (stop.IsCancellationRequested) return;
            var length = responder.Instead(message, query, heard is null ? [] : heard.Message.Span, answer, tcp: false);
            Send(length > 0 ? answer.AsSpan(0, length) : heard!.Message.Span, from);
        }
        finally
        {
            places.Exit();
            counters.Wait(-1);
            ArrayPool<byte>.Shared.Return(answer);
        }
    }

    private void Refuse(byte[] message, DnsQuery query, SocketAddress from)
    {
        var answer = new byte[DnsWire.LeastUdp];
        Send(answer.AsSpan(0, responder.Fail(message, answer, query, DnsOutcome.OverLimit)), from);
    }

    /// <summary>
    /// Sends at once: the way is over loopback, which never makes wait. Not SendToAsync: of two at the same time it may lose one, since it gives its state back before
    /// it has let go of the address (.NET 10).
    /// </summary>
    private void Send(ReadOnlySpan<byte> answer, SocketAddress to) => socket.SendTo(answer, SocketFlags.None, to);

    private static byte[] Copy(ReadOnlyMemory<byte> message)
    {
        var copy = ArrayPool<byte>.Shared.Rent(message.Length);
        message.CopyTo(copy);
        return copy;
    }

    private static SocketAddress Copy(SocketAddress address)
    {
        var copy = new SocketAddress(address.Family, address.Size);
        address.Buffer[..address.Size].CopyTo(copy.Buffer);
        return copy;
    }

    /// <summary>Who sent a datagram, without an object for it: sockaddr_in has the address behind the port, sockaddr_in6 behind the flow as well.</summary>
    private static Destination Sender(SocketAddress address)
    {
        var bytes = address.Buffer.Span;
        var v4 = address.Family == AddressFamily.InterNetwork;
        return Destination.Of(v4 ? bytes.Slice(4, 4) : bytes.Slice(8, 16), BinaryPrimitives.ReadUInt16BigEndian(bytes[2..]));
    }
}
