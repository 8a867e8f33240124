using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Listening;

/// <summary>
/// The acceptors of all listeners: follows the snapshots, opens what is new, drains what is gone, and leaves alone what only changed its chains
/// (requests read the newest chain themselves). Owned by the data path; snapshots come one at a time, from the config loop.
/// </summary>
internal sealed class Acceptors(BoundSockets sockets, AcceptorParts parts, TimeSpan drainBound)
{
    private static readonly TimeSpan TryAgain = TimeSpan.FromMilliseconds(500);
    private readonly Lock gate = new();
    private readonly List<Acceptor> acceptors = [];
    private readonly List<Acceptor> closing = []; // still hold their ports
    private readonly List<Task> leaving = [];
    private readonly HashSet<string> refused = new(StringComparer.Ordinal);
    private bool stopped;
    private bool inboundDrained;
    private readonly CancellationTokenSource stop = new();
    private OutdatedPeers? outdated;
    private ITimer? again;

    /// <summary>Connections open now.</summary>
    public int Open
    {
        get { lock (gate) return acceptors.Sum(a => a.Open); }
    }

    /// <summary>Begins to follow the snapshots.</summary>
    public void Start()
    {
        parts.Snapshots.Changed += Apply;
        outdated = new OutdatedPeers(parts, Connections, stop.Token);
        Apply(parts.Snapshots.Current);
    }

    /// <summary>Makes the acceptors be those of <paramref name="snapshot"/>. A listener that cannot listen is logged once and tried again until it can.</summary>
    public void Apply(Snapshot snapshot)
    {
        lock (gate)
        {
            if (stopped) return;
            again?.Dispose();
            again = null;
            foreach (var gone in acceptors.Where(a => !Serves(snapshot, a)).ToList())
            {
                if (Successor(snapshot, gone) is { } next) leaving.Add(gone.TurnToAsync(next, drainBound));
                else Leave(gone, drainBound);
            }

            var waits = false;
            foreach (var listener in snapshot.Listeners)
            {
                if (listener is null || acceptors.Exists(a => a.Slot == listener.Slot)) continue;
                if (listener.Direction == Direction.Inbound && inboundDrained) continue;
                waits |= !Listen(listener);
            }

            refused.RemoveWhere(name => !snapshot.Listeners.Any(l => l?.Name == name));
            // The port may be held by a listener that drains, or by another program, and be free soon.
            if (waits) again = parts.Time.CreateTimer(_ => ApplyNewest(), null, TryAgain, Timeout.InfiniteTimeSpan);
            leaving.RemoveAll(t => t.IsCompleted);
        }
    }

    private List<OpenConnection> Connections()
    {
        lock (gate) return [.. acceptors.SelectMany(a => a.Connections)];
    }

    private void ApplyNewest()
    {
        lock (gate) Apply(parts.Snapshots.Current);
    }

    /// <summary>Drains the inbound listeners; outbound ones go on.</summary>
    public Task DrainInboundAsync(TimeSpan bound)
    {
        lock (gate)
        {
            inboundDrained = true;
            foreach (var acceptor in acceptors.Where(a => a.Direction == Direction.Inbound).ToList()) Leave(acceptor, bound);
            return Task.WhenAll(leaving);
        }
    }

    /// <summary>Drains everything; nothing is accepted any more.</summary>
    public Task StopAsync(TimeSpan bound)
    {
        parts.Snapshots.Changed -= Apply;
        outdated?.Dispose();
        stop.Cancel();
        lock (gate)
        {
            stopped = true;
            again?.Dispose();
            foreach (var acceptor in acceptors.ToList()) Leave(acceptor, bound);
            return Task.WhenAll(leaving);
        }
    }

    private static bool Serves(Snapshot snapshot, Acceptor acceptor) =>
        acceptor.Slot < snapshot.Listeners.Length && snapshot.Listeners[acceptor.Slot] is { } listener && listener.Address.Equals(acceptor.Address);

    /// <summary>The listener that has taken over the address of one that is gone, under another name.</summary>
    private Listener? Successor(Snapshot snapshot, Acceptor gone) => snapshot.Listeners.FirstOrDefault(l =>
        l is not null && l.Address.Equals(gone.Address) && !acceptors.Exists(a => a.Slot == l.Slot)
        && !(l.Direction == Direction.Inbound && inboundDrained));

    private void Leave(Acceptor acceptor, TimeSpan bound)
    {
        acceptors.Remove(acceptor);
        closing.Add(acceptor);
        leaving.Add(acceptor.DrainAsync(bound, Closed));
    }

    /// <summary>A port is free again: a listener that came back in just that moment gets it at once.</summary>
    private void Closed(Acceptor acceptor)
    {
        lock (gate)
        {
            closing.Remove(acceptor);
            if (again is not null) ApplyNewest();
        }
    }

    private bool TakeBack(Listener listener)
    {
        if (closing.Find(a => a.Address.Equals(listener.Address)) is not { } acceptor || !acceptor.TryTurnBackTo(listener)) return false;
        closing.Remove(acceptor);
        acceptors.Add(acceptor);
        refused.Remove(listener.Name);
        return true;
    }

    private bool Listen(Listener listener)
    {
        if (TakeBack(listener)) return true;
        // Its port is about to be free: that is no error, and the acceptor that holds it says when.
        if (closing.Exists(a => a.Address.Equals(listener.Address))) return false;
        try
        {
            var acceptor = new Acceptor(sockets.Take(listener.Name, listener.Address, CaptureTerms.Of(listener)), listener, parts);
            acceptors.Add(acceptor);
            acceptor.Start();
            refused.Remove(listener.Name);
            return true;
        }
        catch (IOException e)
        {
            if (refused.Add(listener.Name)) parts.Log.Error("listener not open", ("listener", listener.Name), ("error", e.Message));
            return false;
        }
    }
}
