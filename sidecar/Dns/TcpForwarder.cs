using System.Net;
using System.Net.Sockets;
using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Dns;

/// <summary>
/// Asks the machine's resolvers over TCP, one after the other, within the time a client waits; a connection for each query. Zone transfers are passed
/// on message by message for as long as they come. Thread safe.
/// </summary>
internal sealed class TcpForwarder(ResolverFile file, OwnQueries own, DnsCounters counters, TimeProvider time)
{
    private static readonly TimeSpan TransferPause = TimeSpan.FromSeconds(10);
    private uint turn;

    /// <summary>
    /// Asks; hands each message of the answer to <paramref name="deliver"/>, with the client's identifier. False when nobody answered.
    /// <paramref name="message"/> gets another identifier.
    /// </summary>
    public async Task<bool> AskAsync(Frame message, DnsQuery query, Func<Frame, Task> deliver, CancellationToken stop)
    {
        var resolvers = file.Current;
        var servers = UdpForwarder.InOrder(resolvers, Interlocked.Increment(ref turn));
        var id = own.Take();
        ResolverAnswers.SetId(message.Message.Span, id);
        Frame? refusal = null;
        try
        {
            foreach (var server in servers)
            {
                using var asked = new Asked(server, own);
                var answer = await HearAsync(asked, message, query, UdpForwarder.Bound(resolvers) / servers.Length, stop);
                if (answer is null) continue;
                if (ResolverAnswers.Judge(answer.Message.Span, message.Message.Span, query.QuestionEnd) == AnswerWorth.Refusal)
                {
                    refusal?.Dispose();
                    refusal = answer;
                    continue;
                }

                await DeliverAsync(answer, query, deliver);
                if (query.Type is DnsWire.Axfr or DnsWire.Ixfr) await TransferAsync(asked, query, deliver, stop);
                return true;
            }

            if (refusal is null) return false;
            var last = refusal;
            refusal = null;
            await DeliverAsync(last, query, deliver);
            return true;
        }
        finally
        {
            refusal?.Dispose();
            own.Return(id);
        }
    }

    private static async Task DeliverAsync(Frame answer, DnsQuery query, Func<Frame, Task> deliver)
    {
        using (answer)
        {
            ResolverAnswers.SetId(answer.Message.Span, query.Id);
            await deliver(answer);
        }
    }

    /// <summary>The answer of one server; null when there is none in time.</summary>
    private async Task<Frame?> HearAsync(Asked asked, Frame message, DnsQuery query, TimeSpan bound, CancellationToken stop)
    {
        using var late = new CancellationTokenSource(bound, time);
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(stop, late.Token);
        try
        {
            await asked.ConnectAsync(limit.Token);
            await message.WriteAsync(asked.Socket, limit.Token);
            var answer = await Frame.ReadAsync(asked.Socket, limit.Token);
            if (answer is null || ResolverAnswers.Judge(answer.Message.Span, message.Message.Span, query.QuestionEnd) != AnswerWorth.None) return answer;
            counters.Add(DnsOutcome.Forged);
            answer.Dispose();
            return null;
        }
        catch (Exception e) when (e is SocketException || (e is OperationCanceledException && !stop.IsCancellationRequested))
        {
            return null;
        }
    }

    private async Task TransferAsync(Asked asked, DnsQuery query, Func<Frame, Task> deliver, CancellationToken stop)
    {
        try
        {
            while (true)
            {
                using var late = new CancellationTokenSource(TransferPause, time);
                using var limit = CancellationTokenSource.CreateLinkedTokenSource(stop, late.Token);
                if (await Frame.ReadAsync(asked.Socket, limit.Token) is not { } next) return;
                if (next.Length >= DnsWire.Header) await DeliverAsync(next, query, deliver);
                else next.Dispose();
            }
        }
        catch (Exception e) when (e is SocketException || (e is OperationCanceledException && !stop.IsCancellationRequested))
        {
            // It said everything, or ended in the midst of it: the client sees which.
        }
    }

    /// <summary>A connection to a server. It is known to be ours before anything leaves from it.</summary>
    private sealed class Asked(IPEndPoint server, OwnQueries own) : IDisposable
    {
        private Socket? socket;
        private Destination from;

        public Socket Socket => socket ?? throw new InvalidOperationException("not connected");

        public async Task ConnectAsync(CancellationToken cancel)
        {
            // Here, where that may fail: without IPv6, or without a descriptor left, there is none.
            socket = new Socket(server.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            await socket.ConnectAsync(server, cancel);
            from = own.Leave(tcp: true, socket.LocalEndPoint!);
        }

        public void Dispose()
        {
            if (socket is null) return;
            socket.Dispose();
            own.Done(tcp: true, from);
        }
    }
}
