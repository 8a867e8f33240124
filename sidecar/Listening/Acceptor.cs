using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Identity;

namespace Mesh.Sidecar.Listening;

/// <summary>
/// Accepts the connections of one listening socket, tells what they speak, chooses their filter chain and hands them over. Owned by
/// <see cref="Acceptors"/>; ends with its socket. The listener it reads is always the newest of its slot.
/// </summary>
internal sealed class Acceptor(Socket socket, Listener first, AcceptorParts parts)
{
    private static readonly TimeSpan PauseWhenFull = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan TimeOfHandshakes = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan LineWhenFullEvery = TimeSpan.FromMinutes(1);
    private readonly Sparingly sayFull = new(LineWhenFullEvery, parts.Time);
    private readonly ServerFirst serverFirst = new(parts);
    private readonly SecureAccept secure = new(parts);
    private readonly CancellationTokenSource stop = new();
    private readonly Lock gate = new();
    private bool closing;
    private volatile Tenure tenure = new(first);
    private Task loop = Task.CompletedTask;

    /// <summary>Where it listens.</summary>
    public IPEndPoint Address => tenure.First.Address;

    /// <summary>Slot of its listener.</summary>
    public int Slot => tenure.First.Slot;

    /// <summary>Which way its traffic goes.</summary>
    public Direction Direction => tenure.First.Direction;

    /// <summary>Connections that are open.</summary>
    public int Open => tenure.Open.Count;

    /// <summary>The connections that are open.</summary>
    public IEnumerable<OpenConnection> Connections => tenure.Open.Keys;

    /// <summary>Begins to accept.</summary>
    public void Start() => loop = AcceptAsync();

    /// <summary>
    /// Goes on for another listener of the same address, so that the port is open all the time; what came through the old one is asked to
    /// end, at most <paramref name="bound"/> later it is ended. Called by one thread at a time.
    /// </summary>
    public async Task TurnToAsync(Listener next, TimeSpan bound)
    {
        var old = tenure;
        tenure = new Tenure(next);
        old.Draining.Begin();
        var began = parts.Time.GetTimestamp();
        await Drain.WhileWordGetsAroundAsync(old.Open, bound, parts.Time);
        await Drain.RunAsync(old.Open, bound - parts.Time.GetElapsedTime(began), parts.Time);
    }

    /// <summary>
    /// Asks all connections to end when their current request has. New ones are still taken for a while, since word that this listener goes
    /// takes its time; each of those serves one request. At most <paramref name="bound"/> later all are ended.
    /// Another listener may take the port over until it is closed; the connections of this one end all the same.
    /// </summary>
    public async Task DrainAsync(TimeSpan bound, Action<Acceptor> closed)
    {
        var last = tenure;
        last.Draining.Begin();
        var began = parts.Time.GetTimestamp();
        var busy = !last.Open.IsEmpty;
        await Drain.WhileWordGetsAroundAsync(last.Open, bound, parts.Time);
        if (MayClose(last))
        {
            if (busy && parts.Time.GetElapsedTime(began) + TimeOfHandshakes < bound)
            {
                // Others come all the time: none may between our last accept and the close. Who has begun to connect gets the time to finish it.
                Newcomers.KeepAway(socket);
                await Task.Delay(TimeOfHandshakes, parts.Time, CancellationToken.None);
            }

            await stop.CancelAsync();
            await loop;
            TakeBacklog();
            Release();
            closed(this);
        }

        await Drain.RunAsync(last.Open, bound - parts.Time.GetElapsedTime(began), parts.Time);
    }

    /// <summary>While it drains: goes on for a listener of the same address. False when its port is closed, or will be in this moment.</summary>
    public bool TryTurnBackTo(Listener next)
    {
        lock (gate)
        {
            if (closing) return false;
            tenure = new Tenure(next);
            return true;
        }
    }

    private bool MayClose(Tenure last)
    {
        lock (gate) return closing = ReferenceEquals(tenure, last);
    }

    /// <summary>Gives the port back at once, also when a child process that is just being made holds the socket, too: closing alone waits for that.</summary>
    private void Release()
    {
        try
        {
            socket.Shutdown(SocketShutdown.Both);
        }
        catch (SocketException)
        {
            // Not every system can end a listening socket so.
        }

        socket.Dispose();
    }

    /// <summary>Who has connected already must not be reset: closing a listening socket does that to its backlog.</summary>
    private void TakeBacklog()
    {
        socket.Blocking = false;
        try
        {
            while (true) _ = ServeAsync(socket.Accept());
        }
        catch (SocketException)
        {
            // Nobody is left (or nobody can be taken any more).
        }
    }

    private async Task AcceptAsync()
    {
        while (!stop.IsCancellationRequested)
        {
            try
            {
                var accepted = await socket.AcceptAsync(stop.Token);
                _ = ServeAsync(accepted);
            }
            catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException)
            {
                return;
            }
            catch (SocketException e)
            {
                // Out of descriptors, or the client was gone before it was accepted: neither may end the listener.
                if (sayFull.Now(out var others)) parts.Log.Warn("accept failed", ("listener", tenure.First.Name), ("error", e.Message), ("others_since", others));
                await Task.Delay(PauseWhenFull, parts.Time, CancellationToken.None);
            }
        }
    }

    private async Task ServeAsync(Socket accepted)
    {
        if (Direction == Direction.Inbound && parts.IsProbe(accepted)) return;
        var metrics = parts.Metrics;
        metrics.DownstreamConnections.Add();
        var limit = parts.Limits.Of(Direction);
        var client = ConnectionLimit.ClientOf(accepted.RemoteEndPoint);
        if (!limit.TryEnter(client))
        {
            RefuseOne(accepted, limit);
            return;
        }

        var connection = new OpenConnection(accepted);
        var of = tenure;
        of.Open.TryAdd(connection, 0);
        metrics.DownstreamOpen.Add(1);
        try
        {
            accepted.NoDelay = true;
            await HandOverAsync(connection, of);
        }
        catch (Exception e) when (e is SocketException or IOException or ObjectDisposedException or OperationCanceledException)
        {
            accepted.Dispose();
        }
        catch (Exception e)
        {
            parts.Log.Error("connection failed", ("listener", of.First.Name), ("error", e));
            accepted.Dispose();
        }
        finally
        {
            of.Open.TryRemove(connection, out _);
            metrics.DownstreamOpen.Add(-1);
            limit.Leave(client);
        }
    }

    /// <summary>One too many: reset, since nothing of it was or will be served.</summary>
    private void RefuseOne(Socket accepted, ConnectionLimit limit)
    {
        parts.Metrics.ConnectionsOverLimit.Add();
        if (sayFull.Now(out var others))
        {
            parts.Log.Warn("as many connections are open as may be; more are reset", ("listener", tenure.First.Name), ("client", accepted.RemoteEndPoint?.ToString() ?? "unknown"),
                ("most", limit.Most), ("most_of_one_client", limit.MostOfOne), ("others_since", others));
        }

        Transports.Reset(accepted);
    }

    private async Task HandOverAsync(OpenConnection connection, Tenure of)
    {
        var snapshot = parts.Snapshots.Current;
        var listener = of.Newest(snapshot);
        var accepted = connection.Socket;
        var original = OriginalDestination.Of(accepted, listener);
        if (parts.Gate.Check(snapshot, listener, original, accepted.RemoteEndPoint as IPEndPoint) is { } refusal)
        {
            secure.Refuse(accepted, listener, refusal);
            return;
        }

        var facts = new ConnectionFacts(listener, accepted.RemoteEndPoint as IPEndPoint, accepted.LocalEndPoint as IPEndPoint, of.Draining) { Original = original };
        var group = ChainGroups.For(snapshot, listener, original, facts.LocalEndPoint, out _);
        if (group is null && ChainGroups.IsForUnknown(listener, original))
        {
            await parts.Unknown(connection, facts, listener.DefaultChain!.Tcp!);
            return;
        }

        group ??= listener.Rest;
        var (words, dialled) = await serverFirst.HearAsync(accepted, facts, group);
        using var ahead = dialled;
        var spoken = words.Spoken;
        var chain = ChainMatch.Find(group, spoken);
        if (chain is null || words.Detected == Detected.NeedMore)
        {
            Refuse(accepted, listener, words);
            return;
        }

        var secured = chain.Tls is { } tls ? await secure.AcceptAsync(accepted, tls, listener) : null;
        if (chain.Tls is not null && secured is null) return;
        try
        {
            if (secured is not null && facts.RemoteEndPoint is { } client) parts.Peers.Proved(client.Address);
            facts.Tell(spoken, secured?.Peer);
            await ServeAsync(connection, facts, words.Detected, secured, ahead);
        }
        catch
        {
            secured?.Dispose();
            throw;
        }
    }

    private async Task ServeAsync(OpenConnection connection, ConnectionFacts facts, Detected detected, TlsTransport? secured, DialledAhead? ahead)
    {
        var accepted = connection.Socket;
        // First bytes and handshakes take as long as a client likes, within bounds: what changed meanwhile holds for it.
        var chain = facts.ChainIn(parts.Snapshots.Current);
        if (chain is null || chain.Tls is null != secured is null) ((IDisposable?)secured ?? accepted).Dispose();
        else if (chain.Tcp is { } tcp) await parts.Tcp(secured ?? (ITransport)new SocketTransport(accepted), facts, tcp, ahead);
        else if (chain.Http is not { } http) ((IDisposable?)secured ?? accepted).Dispose();
        else if (secured is not null) await parts.SecuredHttp(connection, facts, IsHttp2(http.Codec, secured.Protocol), secured);
        else if (detected == Detected.Connect) await parts.Connect(accepted, facts, http);
        else await parts.Http(connection, facts, http.Codec == HttpCodec.Http2 || (http.Codec == HttpCodec.Auto && detected == Detected.Http2));
    }

    private static bool? IsHttp2(HttpCodec codec, string protocol) => codec switch
    {
        HttpCodec.Http1 => false,
        HttpCodec.Http2 => true,
        _ => Alpn.SaysHttp2(protocol),
    };

    /// <summary>No chain is for it, or it never said enough.</summary>
    private void Refuse(Socket accepted, Listener listener, in FirstWords words)
    {
        if (listener.InspectsTls) secure.Refuse(accepted, listener, words);
        accepted.Dispose();
    }

    /// <summary>The time for which it serves one listener: that listener, and the connections that came meanwhile.</summary>
    private sealed record Tenure(Listener First)
    {
        public ConcurrentDictionary<OpenConnection, byte> Open { get; } = new();

        public Draining Draining { get; } = new();

        public Listener Newest(Snapshot snapshot)
        {
            var listeners = snapshot.Listeners;
            return First.Slot < listeners.Length && listeners[First.Slot] is { } newest ? newest : First;
        }
    }
}
