using System.Net;
using System.Net.Sockets;
using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Dns;

/// <summary>
/// One resolver that one query was sent to, over a socket for this alone. Owned by the query's task; disposing it waits until nothing listens any more.
/// </summary>
internal sealed class AskedServer(IPEndPoint server, ReadOnlyMemory<byte> message, DnsQuery query, (OwnQueries Own, QueryPorts Ports) ours, DnsCounters counters, CancellationToken cancel) : IAsyncDisposable
{
    private const int UsualAnswer = 4096;
    private const int MostAnswer = 65534; // with its length 64 KiB
    private Socket? socket;
    private Destination from;
    private Frame? answer;
    private AnswerWorth worth;

    /// <summary>Completes when it has answered, has refused, or cannot be heard.</summary>
    public Task Hearing { get; private set; } = Task.CompletedTask;

    /// <summary>True while an answer may come.</summary>
    public bool IsOpen => socket is not null && !Hearing.IsCompleted;

    /// <summary>True when it has given an answer of this worth.</summary>
    public bool Has(AnswerWorth what) => Hearing.IsCompleted && worth == what;

    /// <summary>Its answer, which is the caller's from now on.</summary>
    public Frame? Take() => Interlocked.Exchange(ref answer, null);

    /// <summary>Sends the query, the first time or again.</summary>
    public async Task SendAsync()
    {
        try
        {
            if (socket is null) Open();
            await socket!.SendAsync(message, SocketFlags.None, cancel);
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException)
        {
            // No route to it, or nobody there: the next one is asked.
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (socket is not null)
        {
            socket.Dispose();
            await Hearing;
            ours.Own.Done(tcp: false, from);
        }

        answer?.Dispose();
    }

    private void Open()
    {
        socket = new Socket(server.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
        ours.Ports.Bind(socket);
        socket.Connect(server);
        from = ours.Own.Leave(tcp: false, socket.LocalEndPoint!);
        Hearing = HearAsync(socket);
    }

    /// <summary>The socket hears this server only; what it says must be about this query.</summary>
    private async Task HearAsync(Socket heard)
    {
        var most = Math.Clamp(query.MostUdp, UsualAnswer, MostAnswer);
        try
        {
            // Until there is something no buffer is taken: many may wait, and most clients say they take much.
            await heard.ReceiveAsync(Memory<byte>.Empty, SocketFlags.Peek, cancel);
            answer = new Frame(most);
            while (worth == AnswerWorth.None)
            {
                answer.Length = most;
                answer.Length = await heard.ReceiveAsync(answer.Message, SocketFlags.None, cancel);
                worth = ResolverAnswers.Judge(answer.Message.Span, message.Span, query.QuestionEnd);
                if (worth == AnswerWorth.None) counters.Add(DnsOutcome.Forged);
            }
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException or ObjectDisposedException)
        {
            // Nobody is there (ICMP says so), or it is not needed any more.
        }
    }
}
