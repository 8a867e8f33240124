using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Listening;

/// <summary>
/// Accepts the connections of one listening socket, tells what they speak, chooses their filter chain and hands them over. Owned by
/// <see cref="Acceptors"/>; ends with its socket. The listener it reads is always the newest of its slot.
/// </summary>
internal sealed class Acceptor(Socket socket, Listener first, AcceptorParts parts)
{
    private static readonly TimeSpan HeadBound = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan PauseWhenFull = TimeSpan.FromMilliseconds(100);
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
        await Drain.WhileWordGetsAroundAsync(last.Open, bound, parts.Time);
        if (MayClose(last))
        {
            await stop.CancelAsync();
            await loop;
            TakeBacklog();
            socket.Dispose();
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
                parts.Log.Warn("accept failed", ("listener", tenure.First.Name), ("error", e.Message));
                await Task.Delay(PauseWhenFull, parts.Time, CancellationToken.None);
            }
        }
    }

    private async Task ServeAsync(Socket accepted)
    {
        var metrics = parts.Metrics;
        metrics.DownstreamConnections.Add();
        if (!parts.Limit.TryEnter())
        {
            accepted.Dispose();
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
            parts.Limit.Leave();
        }
    }

    private async Task HandOverAsync(OpenConnection connection, Tenure of)
    {
        var listener = of.Newest(parts.Snapshots.Current);
        var accepted = connection.Socket;
        var facts = new ConnectionFacts(listener, accepted.RemoteEndPoint as IPEndPoint, accepted.LocalEndPoint as IPEndPoint, of.Draining);
        var speaks = SpeaksHttp(listener) ? await DetectAsync(accepted, listener) : Detected.Other;
        var chain = ChainMatch.Find(listener, ProtocolOf(speaks));
        if (chain?.Tcp is { } tcp) await parts.Tcp(accepted, facts, tcp);
        else if (chain?.Http is not { } http || speaks == Detected.NeedMore) accepted.Dispose();
        else if (speaks == Detected.Connect) await parts.Connect(accepted, facts, http);
        else await parts.Http(connection, facts, IsForHttp2(http.Codec, speaks));
    }

    private static bool SpeaksHttp(Listener listener)
    {
        if (listener.DefaultChain?.Http is not null) return true;
        foreach (var chain in listener.Chains)
        {
            if (chain.Http is not null) return true;
        }

        return false;
    }

    private static string? ProtocolOf(Detected detected) => detected switch
    {
        Detected.Http2 => ChainMatch.H2C,
        Detected.Http10 => ChainMatch.Http10,
        Detected.Http11 or Detected.Connect => ChainMatch.Http11,
        _ => null,
    };

    private static bool IsForHttp2(HttpCodec codec, Detected speaks) =>
        codec == HttpCodec.Http2 || (codec == HttpCodec.Auto && speaks == Detected.Http2);

    /// <summary>
    /// Looks at the first bytes and leaves them where they are. A client that says nothing in time is taken for one that waits for the
    /// server to speak first (TCP chain), or is closed when there is no such chain.
    /// </summary>
    private async ValueTask<Detected> DetectAsync(Socket accepted, Listener listener)
    {
        var bound = listener.InspectsHttp && listener.DetectTimeout > TimeSpan.Zero ? listener.DetectTimeout : HeadBound;
        using var timeout = new CancellationTokenSource(bound, parts.Time);
        using var bytes = System.Buffers.MemoryPool<byte>.Shared.Rent(Detection.MostBytes);
        var seen = 0;
        var pause = TimeSpan.FromMilliseconds(1);
        try
        {
            while (true)
            {
                var count = await accepted.ReceiveAsync(bytes.Memory, SocketFlags.Peek, timeout.Token);
                if (count == 0) return Detected.Other;
                var detected = Detection.Look(bytes.Memory.Span[..count]);
                if (detected != Detected.NeedMore) return detected;
                // Peeking returns the same bytes at once: wait a little, longer each time nothing came.
                pause = count == seen ? TimeSpan.FromMilliseconds(Math.Min(50, pause.TotalMilliseconds * 2)) : TimeSpan.FromMilliseconds(1);
                seen = count;
                await Task.Delay(pause, parts.Time, timeout.Token);
            }
        }
        catch (OperationCanceledException)
        {
            return listener.InspectsHttp ? Detected.Other : Detected.NeedMore;
        }
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
