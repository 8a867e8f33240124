using Mesh.Sidecar.Identity;
using Mesh.Sidecar.Tcp;
using Mesh.Sidecar.Telemetry;

namespace Mesh.Sidecar.Http.Upstream;

/// <summary>
/// The HTTP/1.1 connections to one address of one cluster that wait for a request; the last used is taken first, so that the rest can
/// age and be closed. It hangs on the endpoint's stats; while one waits <paramref name="owner"/> holds it too, and ends it.
/// Thread safe; the lock is held for a push or a pop and is never waited on under it.
/// </summary>
internal sealed class Http1Pool(TimeProvider time, Dialer dialer, SidecarMetrics metrics, UpstreamConnections owner)
{
    /// <summary>How long a connection may wait. Shorter than what servers usually allow, so that we are the side that closes.</summary>
    public static readonly TimeSpan IdleBound = TimeSpan.FromSeconds(60);

    /// <summary>How many may wait: a burst beyond it closes what it opened.</summary>
    public const int MostIdle = 1024;
    private readonly Lock gate = new();
    private Http1Connection[] idle = new Http1Connection[4];
    private int count;
    private bool owned;

    /// <summary>False: the address is used once, its connections are not worth keeping.</summary>
    public bool Keeps { get; init; } = true;

    /// <summary>The clock.</summary>
    public TimeProvider Time => time;

    /// <summary>Timestamp.</summary>
    public long Now => time.GetTimestamp();

    /// <summary>Connections that wait.</summary>
    public int Idle => Volatile.Read(ref count);

    /// <summary>A connection that waited and was made on these terms, or null. Those made on others are closed: terms do not come back.</summary>
    public Http1Connection? TryTake(DialTerms? terms)
    {
        while (Pop() is { } connection)
        {
            if (!connection.IsOn(terms)) connection.TryRetire();
            else if (connection.TryTake()) return connection;
            Closed();
        }

        return null;
    }

    /// <summary>Makes a connection. Throws when cancelled.</summary>
    public async ValueTask<Opened> ConnectAsync(Dial dial, CancellationToken cancel)
    {
        var (transport, failure, detail) = await dialer.ConnectAsync(dial, cancel);
        if (transport is null) return new(null, new CallResult(failure, detail));
        metrics.UpstreamOpen.Add(1);
        return new(new Http1Connection(this, transport, dial.Terms), CallResult.Ok);
    }

    /// <summary>Takes a parked connection; closes it when there are enough.</summary>
    public void Return(Http1Connection connection)
    {
        var first = false;
        var kept = Keeps;
        lock (gate)
        {
            if (kept &= count < MostIdle)
            {
                if (count == idle.Length) Array.Resize(ref idle, count * 2);
                idle[count++] = connection;
                (first, owned) = (!owned, true);
            }
        }

        if (!kept)
        {
            connection.TryRetire();
            Closed();
        }

        if (first) owner.Own(this);
    }

    /// <summary>A connection of this pool is closed.</summary>
    public void Closed() => metrics.UpstreamOpen.Add(-1);

    /// <summary>Closes what waited for too long, and forgets what was closed by the other side. True when none is left: the owner lets go.</summary>
    public bool Retire(TimeSpan olderThan)
    {
        var now = Now;
        lock (gate)
        {
            var kept = 0;
            for (var i = 0; i < count; i++)
            {
                var connection = idle[i];
                var old = time.GetElapsedTime(connection.IdleSince, now) >= olderThan;
                if (connection.IsClosed || (old && connection.TryRetire())) Closed();
                else idle[kept++] = connection;
            }

            Array.Clear(idle, kept, count - kept);
            count = kept;
            return !(owned = count > 0);
        }
    }

    private Http1Connection? Pop()
    {
        lock (gate)
        {
            if (count == 0) return null;
            var connection = idle[--count];
            idle[count] = null!;
            return connection;
        }
    }
}
