using System.Buffers;
using System.Net;
using System.Net.Sockets;
using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Dns;

/// <summary>
/// One resolver that one query was sent to, over a socket for this alone. Owned by the query's task; disposing it waits until nothing listens any more.
/// </summary>
internal sealed class AskedServer(IPEndPoint server, ReadOnlyMemory<byte> message, DnsQuery query, OwnQueries own, DnsCounters counters, CancellationToken cancel) : IAsyncDisposable
{
    private const int UsualAnswer = 4096;
    private readonly byte[] buffer = ArrayPool<byte>.Shared.Rent(Math.Max(UsualAnswer, query.MostUdp));
    private Socket? socket;
    private Destination from;
    private int length;

    /// <summary>Completes when it has answered, has refused, or cannot be heard.</summary>
    public Task Hearing { get; private set; } = Task.CompletedTask;

    /// <summary>What it answered.</summary>
    public AnswerWorth Worth { get; private set; }

    /// <summary>True while an answer may come.</summary>
    public bool IsOpen => socket is not null && !Hearing.IsCompleted;

    /// <summary>The answer.</summary>
    public ReadOnlyMemory<byte> Answer => buffer.AsMemory(0, length);

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
            own.Done(tcp: false, from);
        }

        ArrayPool<byte>.Shared.Return(buffer);
    }

    private void Open()
    {
        socket = new Socket(server.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
        socket.Connect(server);
        from = own.Leave(tcp: false, socket.LocalEndPoint!);
        Hearing = HearAsync(socket);
    }

    /// <summary>The socket hears this server only; what it says must be about this query.</summary>
    private async Task HearAsync(Socket heard)
    {
        try
        {
            while (true)
            {
                length = await heard.ReceiveAsync(buffer, SocketFlags.None, cancel);
                Worth = ResolverAnswers.Judge(buffer.AsSpan(0, length), message.Span, query.QuestionEnd);
                if (Worth != AnswerWorth.None) return;
                counters.Add(DnsOutcome.Forged);
            }
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException or ObjectDisposedException)
        {
            // Nobody is there (ICMP says so), or it is not needed any more.
        }
    }
}
