using System.Net;
using System.Net.Sockets;
using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Dns;

/// <summary>
/// Serves a TCP socket: a bounded number of connections, each a loop that answers query after query. A connection that is silent for long, or does not
/// take its answers, is closed. Owned by <see cref="DnsServer"/>.
/// </summary>
internal sealed class StreamServer(Socket socket, Responder responder, TcpForwarder forwarder, Places places, DnsCounters counters, TimeProvider time)
{
    private const int MostAnswer = 65534;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    /// <summary>How long the loop rests when the process has no descriptor left.</summary>
    private static readonly TimeSpan Rest = TimeSpan.FromMilliseconds(100);

    /// <summary>Accepts until it is cancelled.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            try
            {
                var client = await socket.AcceptAsync(stop);
                if (places.TryTake())
                {
                    _ = ServeAsync(client, stop);
                    continue;
                }

                counters.Add(DnsOutcome.OverLimit);
                client.Dispose();
            }
            catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException)
            {
                return;
            }
            catch (SocketException)
            {
                counters.Add(DnsOutcome.Fault);
                await Task.Delay(Rest, time, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    private async Task ServeAsync(Socket client, CancellationToken stop)
    {
        try
        {
            client.NoDelay = true;
            var from = client.RemoteEndPoint is IPEndPoint address ? Destination.Of(address) : default;
            while (await ReadAsync(client, stop) is { } message)
            {
                using (message)
                {
                    if (!await AnswerAsync(client, message, from, stop)) return;
                }
            }
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException or ObjectDisposedException)
        {
            // It has gone, was silent for too long, or the server stops.
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            counters.Add(DnsOutcome.Fault);
        }
        finally
        {
            client.Dispose();
            places.Return();
        }
    }

    /// <summary>Answers one query; false when the connection is of no use.</summary>
    private async Task<bool> AnswerAsync(Socket client, Frame message, Destination from, CancellationToken stop)
    {
        using var answer = new Frame(MostAnswer);
        var length = responder.Answer(message.Message.Span, answer.Message.Span, tcp: true, from, out var query);
        if (length == 0) return false;
        if (length == Responder.Forward)
        {
            counters.Wait(1);
            try
            {
                length = await ForwardAsync(client, message, query, answer, stop);
            }
            finally
            {
                counters.Wait(-1);
            }
        }

        answer.Length = length;
        if (length > 0) await WriteAsync(client, answer, stop);
        return true;
    }

    /// <summary>Passes the resolvers' answer on; the length of our own where there is none, else 0.</summary>
    private async Task<int> ForwardAsync(Socket client, Frame message, DnsQuery query, Frame answer, CancellationToken stop)
    {
        var own = 0;
        var answered = await forwarder.AskAsync(message, query, async heard =>
        {
            own = responder.Instead(message.Message.Span, query, heard.Message.Span, answer.Message.Span, tcp: true);
            if (own == 0) await WriteAsync(client, heard, stop);
        }, stop);
        return answered ? own : responder.Instead(message.Message.Span, query, [], answer.Message.Span, tcp: true);
    }

    private async Task<Frame?> ReadAsync(Socket client, CancellationToken stop)
    {
        using var late = new CancellationTokenSource(Patience, time);
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(stop, late.Token);
        return await Frame.ReadAsync(client, limit.Token);
    }

    private async Task WriteAsync(Socket client, Frame answer, CancellationToken stop)
    {
        using var late = new CancellationTokenSource(Patience, time);
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(stop, late.Token);
        await answer.WriteAsync(client, limit.Token);
    }
}
