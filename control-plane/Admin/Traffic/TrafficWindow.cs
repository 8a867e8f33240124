using Mesh.Api.Operators;
using Mesh.Api.V1;

namespace Mesh.ControlPlane.Admin.Traffic;

/// <summary>
/// Who called whom in the last minute, from what sidecars report. Both sides of a call may report it: what its source says is shown,
/// the destination's word only where the source has no sidecar; so nothing counts twice. Thread safe, bounded.
/// </summary>
internal sealed class TrafficWindow(TimeProvider time)
{
    /// <summary>Edges beyond this are added up as one named "other".</summary>
    public const int MostEdges = 5000;

    private readonly Lock gate = new();
    private readonly Dictionary<EdgeKey, EdgeWindow> edges = [];

    /// <summary>The longest window that can be asked for.</summary>
    public static TimeSpan Longest => TimeSpan.FromSeconds(EdgeWindow.Seconds);

    /// <summary>
    /// Takes a report. <paramref name="open"/> belongs to the reporting stream and counts its open connections, for <see cref="Forget"/>.
    /// </summary>
    public void Add(EdgeReport report, Dictionary<EdgeKey, long> open)
    {
        lock (gate)
        {
            var now = Now();
            foreach (var edge in report.Edges)
            {
                var key = EdgeKey.Of(edge);
                var window = WindowOf(ref key, now);
                window.Add(now, edge);
                var more = (long)edge.TcpOpened - (long)edge.TcpClosed;
                if (more == 0) continue;
                window.Opened(more);
                // Only what is open is remembered: a stream lives for months and sees destinations come and go.
                var total = open.GetValueOrDefault(key) + more;
                if (total == 0) open.Remove(key);
                else open[key] = total;
            }
        }
    }

    /// <summary>A reporting stream ended: connections it never saw closed are gone with its sidecar.</summary>
    public void Forget(Dictionary<EdgeKey, long> open)
    {
        lock (gate)
        {
            foreach (var (key, count) in open)
            {
                if (edges.TryGetValue(key, out var window)) window.Opened(-count);
            }
        }
    }

    /// <summary>The edges of the last seconds that carried anything, ordered by source and destination.</summary>
    public IReadOnlyList<EdgeTraffic> Edges(int seconds)
    {
        lock (gate)
        {
            var reporting = edges.Keys.Where(k => k.BySource).Select(k => (k.Source.Namespace, k.Source.Workload)).ToHashSet();
            // An opaque connection names no workload, but mutual TLS tells whose it is: his own sidecar reports it with more.
            var known = edges.Keys.Where(k => k.BySource && k.Source.Identity.Length > 0).Select(k => k.Source.Identity).ToHashSet(StringComparer.Ordinal);
            var shown =
                from edge in edges
                where edge.Key.BySource || (edge.Key.SourceIsUnknown ? !known.Contains(edge.Key.Source.Identity) : !reporting.Contains((edge.Key.Source.Namespace, edge.Key.Source.Workload)))
                let sum = Sum([edge.Value], seconds)
                where !sum.IsEmpty
                orderby edge.Key.Source.Namespace, edge.Key.Source.Workload, edge.Key.Source.Version,
                    edge.Key.Destination.Namespace, edge.Key.Destination.Service, edge.Key.Destination.Version, edge.Key.Protocol
                select new EdgeTraffic
                {
                    Source = edge.Key.Source,
                    Destination = edge.Key.Destination,
                    Protocol = edge.Key.Protocol,
                    Secured = edge.Key.Secured,
                    Traffic = sum.ToTraffic(seconds),
                };
            return [.. shown];
        }
    }

    /// <summary>What each service received in the last seconds, by its own sidecars.</summary>
    public IReadOnlyDictionary<(string Namespace, string Service), Api.Operators.Traffic> Inbound(int seconds)
    {
        lock (gate)
        {
            return edges.Where(e => !e.Key.BySource).GroupBy(e => (e.Key.Destination.Namespace, e.Key.Destination.Service))
                .Select(g => (g.Key, Sum: Sum(g.Select(e => e.Value), seconds)))
                .Where(s => !s.Sum.IsEmpty)
                .ToDictionary(s => s.Key, s => s.Sum.ToTraffic(seconds));
        }
    }

    private TrafficSum Sum(IEnumerable<EdgeWindow> windows, int seconds)
    {
        var sum = new TrafficSum();
        foreach (var window in windows) window.AddTo(sum, Now(), seconds);
        return sum;
    }

    private EdgeWindow WindowOf(ref EdgeKey key, long now)
    {
        if (edges.TryGetValue(key, out var known)) return known;
        if (edges.Count >= MostEdges) RemoveIdle(now);
        if (edges.Count >= MostEdges) key = EdgeKey.Other(key.BySource);
        if (!edges.TryGetValue(key, out var window)) edges[key] = window = new EdgeWindow();
        return window;
    }

    private void RemoveIdle(long now)
    {
        foreach (var (key, window) in edges)
        {
            if (window.Open == 0 && now - window.LastSecond > EdgeWindow.Seconds) edges.Remove(key);
        }
    }

    // Seconds since the clock's start, from 1 on: an empty slot has 0.
    private long Now() => (time.GetTimestamp() / time.TimestampFrequency) + 1;
}
