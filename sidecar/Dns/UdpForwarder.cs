using System.Net;

namespace Mesh.Sidecar.Dns;

/// <summary>
/// Asks the machine's resolvers over UDP, in their order and as often as resolv.conf says, all of it within the time a client waits: the next one
/// is asked when one is silent for its share of the time, and whoever answers first is heard, also late. The message goes as it came but for its identifier;
/// each server of each query has a socket of its own, connected, with a port drawn for it. Thread safe.
/// </summary>
internal sealed class UdpForwarder(ResolverFile file, OwnQueries own, QueryPorts ports, DnsCounters counters, TimeProvider time)
{
    /// <summary>What is left of a client's timeout for the way to it and back.</summary>
    private const double ShareOfTimeout = 0.9;

    private uint turn;

    /// <summary>
    /// Asks. The answer, with the client's identifier: of who answered, else of who refused; null when nobody did either. <paramref name="message"/> gets
    /// another identifier.
    /// </summary>
    public async Task<Frame?> AskAsync(Memory<byte> message, DnsQuery query, CancellationToken stop)
    {
        var resolvers = file.Current;
        var servers = InOrder(resolvers, Interlocked.Increment(ref turn));
        var id = own.Take();
        ResolverAnswers.SetId(message.Span, id);
        using var over = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var asked = servers.Select(s => new AskedServer(s, message, query, (own, ports), counters, over.Token)).ToArray();
        try
        {
            var best = await HearAsync(asked, resolvers, over.Token);
            var answer = best?.Take();
            if (answer is not null) ResolverAnswers.SetId(answer.Message.Span, query.Id);
            return answer;
        }
        finally
        {
            await over.CancelAsync();
            foreach (var one in asked) await one.DisposeAsync();
            own.Return(id);
        }
    }

    /// <summary>Servers in the order of a query.</summary>
    public static IPEndPoint[] InOrder(Resolvers resolvers, uint turn)
    {
        var first = resolvers.Rotate ? (int)(turn % (uint)resolvers.Servers.Length) : 0;
        return [.. resolvers.Servers[first..], .. resolvers.Servers[..first]];
    }

    /// <summary>How long everything about a query may take.</summary>
    public static TimeSpan Bound(Resolvers resolvers) => resolvers.Timeout * ShareOfTimeout;

    private async Task<AskedServer?> HearAsync(AskedServer[] asked, Resolvers resolvers, CancellationToken cancel)
    {
        var end = Task.Delay(Bound(resolvers), time, cancel);
        var share = Bound(resolvers) / (asked.Length * resolvers.Attempts);
        for (var tries = 0; tries < asked.Length * resolvers.Attempts && !end.IsCompleted; tries++)
        {
            var server = asked[tries % asked.Length];
            if (server.Hearing.IsCompleted && tries >= asked.Length) continue;
            await server.SendAsync();
            if (await FirstAsync(asked, server, Task.Delay(share, time, cancel)) is { } heard) return heard;
        }

        return await FirstAsync(asked, null, end) ?? asked.FirstOrDefault(s => s.Has(AnswerWorth.Refusal));
    }

    /// <summary>Who answers first; null when <paramref name="next"/> has nothing more to say, when nobody has, or when the time is over.</summary>
    private static async Task<AskedServer?> FirstAsync(AskedServer[] asked, AskedServer? next, Task over)
    {
        while (true)
        {
            if (asked.FirstOrDefault(s => s.Has(AnswerWorth.Good)) is { } good) return good;
            if (over.IsCompleted || next?.Hearing.IsCompleted == true) return null;
            var open = asked.Where(s => s.IsOpen).Select(s => s.Hearing).ToList();
            if (open.Count == 0) return null;
            await Task.WhenAny(open.Append(over));
        }
    }
}
