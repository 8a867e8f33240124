using System.Collections.Concurrent;
using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Telemetry;

/// <summary>All traffic series of the process, and the TCP connections that are open. Thread safe.</summary>
internal sealed class TrafficSeries
{
    private readonly ConcurrentDictionary<TcpFacts, byte> open = [];

    /// <summary>Empty tables of at most <paramref name="budget"/> series each.</summary>
    public TrafficSeries(TimeProvider time, int budget, SidecarMetrics own)
    {
        Bounds = new Bounds(time.TimestampFrequency);
        Requests = new SeriesTable<RequestSeries>(budget, key => new RequestSeries(key, Bounds), own.SeriesOverflow);
        Tcp = new SeriesTable<TcpSeries>(budget, key => new TcpSeries(key), own.SeriesOverflow);
    }

    /// <summary>Bounds of all histograms.</summary>
    public Bounds Bounds { get; }

    /// <summary>Series of requests.</summary>
    public SeriesTable<RequestSeries> Requests { get; }

    /// <summary>Series of TCP connections.</summary>
    public SeriesTable<TcpSeries> Tcp { get; }

    /// <summary>Counts a connection as opened and follows its bytes.</summary>
    public void Open(TcpFacts facts)
    {
        facts.Series = Tcp.Find(Key(facts, Failure.None));
        facts.Series.Open();
        open.TryAdd(facts, 0);
    }

    /// <summary>Counts a connection as closed; one that never opened counts as both.</summary>
    public void Close(TcpFacts facts)
    {
        var end = Tcp.Find(Key(facts, facts.Failure));
        if (open.TryRemove(facts, out _))
        {
            Follow(facts);
        }
        else if (facts.Series is null)
        {
            facts.Series = end;
            end.Open();
        }

        // Opened without a flag, closed with one: the sums over all flags agree, and the flag is not lost.
        end.Close();
    }

    /// <summary>Brings the byte counters of open connections up to date. Call before reading <see cref="Tcp"/>.</summary>
    public void Refresh()
    {
        foreach (var (facts, _) in open) Follow(facts);
    }

    private static void Follow(TcpFacts facts)
    {
        lock (facts)
        {
            var received = Volatile.Read(ref facts.ReceivedBytes);
            var sent = Volatile.Read(ref facts.SentBytes);
            facts.Series!.Bytes(received - facts.CountedReceived, sent - facts.CountedSent);
            facts.CountedReceived = received;
            facts.CountedSent = sent;
        }
    }

    private static SeriesKey Key(TcpFacts facts, Failure failure) =>
        new(facts.Source, facts.Destination, facts.Service, facts.Direction, SeriesProtocol.Tcp, failure, 0, -1, facts.Security);
}
