using System.Net.Sockets;
using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Listening;

/// <summary>What is known when a connection's chain can be chosen.</summary>
/// <param name="Words">What its client said; <see cref="Detected.Other"/> also when the server began.</param>
/// <param name="Ahead">The server's connection, where one was made meanwhile and the bytes may go there.</param>
internal readonly record struct Heard(FirstWords Words, DialledAhead? Ahead);

/// <summary>
/// Finds out what a connection speaks without waiting for clients that wait for their server. On a port of undeclared protocol a client that is
/// silent for <see cref="Headstart"/> has its server dialled as if bytes were to be passed; whoever speaks first decides: a client with HTTP or
/// TLS, or a server with what no server of HTTP says first. Nothing of the client goes to that server before it is decided, so nothing is ever
/// sent twice. Thread safe; lives as long as the data path.
/// </summary>
internal sealed class ServerFirst(AcceptorParts parts)
{
    /// <summary>What a client has to say something before its server is asked.</summary>
    public static readonly TimeSpan Headstart = TimeSpan.FromMilliseconds(20);

    /// <summary>How long a server that spoke first once may be silent before that is no longer believed.</summary>
    public static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(1);

    /// <summary>How long it may, when its client spoke HTTP meanwhile.</summary>
    public static readonly TimeSpan Doubt = TimeSpan.FromMilliseconds(250);

    /// <summary>Looks at a connection, and hears its server where that may begin.</summary>
    public async ValueTask<Heard> HearAsync(Socket accepted, ConnectionFacts facts, ChainGroup group)
    {
        if (!FirstBytes.Matter(facts.Listener, group)) return new(FirstWords.Untold, null);
        var terms = FirstBytes.Of(facts.Listener, group);
        using var look = new FirstLook(accepted, terms, parts.Time);
        var said = look.RunAsync();
        if (said.IsCompleted || BytesOf(facts, group, terms) is not { } bytes) return new(await said, null);
        var key = VerdictKey.Of(facts, bytes);
        var known = parts.Verdicts.Has(key);
        if ((!known && await WithinAsync(Headstart, said)) || look.IsTls) return new(await said, null);
        return await RaceAsync(new Race(facts, bytes, key, known, parts.Time.GetTimestamp()), look, said, terms);
    }

    /// <summary>Where bytes may go before the client has spoken; null where it is waited for.</summary>
    private TcpProxyConfig? BytesOf(ConnectionFacts facts, ChainGroup group, FirstBytes terms)
    {
        if (!terms.PassesBytes || ChainMatch.Find(group, Spoken.Plain) is not { Tcp: { } bytes, Tls: null } || LayerSeven.Rules(group, bytes)) return null;
        if (facts.Listener.Direction == Direction.Outbound || !group.TakesMutualTls) return bytes;
        // Who may speak mutual TLS is given the time for it: a lost packet must not turn it into a greeting in plaintext.
        return facts.RemoteEndPoint is { } client && !parts.Peers.MayBe(client.Address, parts.Snapshots.Current) ? bytes : null;
    }

    private async Task<Heard> RaceAsync(Race race, FirstLook look, Task<FirstWords> said, FirstBytes terms)
    {
        var server = new ServerLook(
            cancel => parts.DialAhead(race.Facts, race.Bytes, cancel),
            () => look.WhileSilent(race.Bytes.IdleTimeout > TimeSpan.Zero ? race.Bytes.IdleTimeout : Timeout.InfiniteTimeSpan, Detected.NeedMore),
            () => look.WhileSilent(terms.Patience, Detected.Other));
        var heard = server.RunAsync();
        try
        {
            if (race.Known && !await WithinAsync(LongestPause, said, heard)) parts.Verdicts.Drop(race.Key);
            await Task.WhenAny(said, heard);
            if (!said.IsCompleted)
            {
                var greeting = await heard;
                if (greeting == ServerSaid.Greeting && !look.IsTls) look.Stop();
                // Nobody is there, or nobody any more: the client has the time it always had.
                else if (greeting is ServerSaid.End or ServerSaid.Unreached) look.WhileSilent(Rest(terms.Patience, race.Began), Detected.Other);
            }

            var words = await said;
            var began = heard.IsCompletedSuccessfully && await heard == ServerSaid.Greeting && !look.IsTls;
            if (words.Decide || (words.Detected == Detected.NeedMore && !began)) return Leave(race, words, server, heard);
            return await CarryAsync(race, look, server, began);
        }
        catch
        {
            _ = server.LeaveAsync();
            throw;
        }
    }

    /// <summary>The client speaks HTTP or TLS, or it is over: the server's connection is of no use.</summary>
    private Heard Leave(Race race, FirstWords words, ServerLook server, Task<ServerSaid> heard)
    {
        Count(race, words.Decide ? "client" : "nobody");
        _ = race.Known && words.Decide && words.Detected != Detected.Tls ? DoubtAsync(race, server, heard) : server.LeaveAsync();
        return new(words, null);
    }

    /// <summary>The server began, or the client with what is neither HTTP nor TLS, or nobody in time.</summary>
    private async Task<Heard> CarryAsync(Race race, FirstLook look, ServerLook server, bool began)
    {
        if (began)
        {
            parts.Verdicts.Learn(race.Key);
            Count(race, race.Known ? "server_as_known" : "server");
            return new(FirstWords.Untold, await server.AsItIsAsync());
        }

        Count(race, look.IsSilent ? "nobody" : "client_bytes");
        return new(FirstWords.Untold, await (look.IsSilent ? server.AsItIsAsync() : server.UsableAsync()));
    }

    /// <summary>
    /// A client spoke HTTP where the server is known to begin. One of them is wrong, and no client's word is taken for it: the server is heard a
    /// little longer. So nobody makes others wait by speaking HTTP where it does not belong.
    /// </summary>
    private async Task DoubtAsync(Race race, ServerLook server, Task<ServerSaid> heard)
    {
        if (!await WithinAsync(Doubt, heard) || await heard != ServerSaid.Greeting) parts.Verdicts.Drop(race.Key);
        await server.LeaveAsync();
    }

    private void Count(Race race, string first) => parts.Metrics.Detections.Add(race.Facts.Listener.Direction == Direction.Inbound ? "inbound" : "outbound", first);

    private TimeSpan Rest(TimeSpan patience, long began)
    {
        var rest = patience - parts.Time.GetElapsedTime(began);
        return rest > TimeSpan.Zero ? rest : TimeSpan.Zero;
    }

    /// <summary>True when one of these has ended within a time.</summary>
    private async Task<bool> WithinAsync(TimeSpan bound, params Task[] ends)
    {
        using var cancel = new CancellationTokenSource();
        var first = await Task.WhenAny([.. ends, Task.Delay(bound, parts.Time, cancel.Token)]);
        Cancel(cancel);
        return ends.Contains(first);
    }

    /// <summary>At once, and not on another thread: nothing but a timer hangs on it, and a client waits.</summary>
    private static void Cancel(CancellationTokenSource timer) => timer.Cancel();

    /// <summary>A connection whose client is silent.</summary>
    private sealed record Race(ConnectionFacts Facts, TcpProxyConfig Bytes, VerdictKey Key, bool Known, long Began);
}
