using System.Collections.Concurrent;
using System.Net;
using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Listening;

/// <summary>
/// The connections that this sidecar began a moment ago, by both their ends. One of them that comes in as a captured one has come back: rules that
/// capture the sidecar itself would make it go in circles until there are no ports left. Thread safe; bounded; lives as long as the data path.
/// </summary>
internal sealed class OwnDials(TimeProvider time)
{
    private const int Most = 16 * 1024;

    // Over loopback it comes back at once; another connection of the host gets the same ends only after this one has gone, and a round of all ports.
    private static readonly TimeSpan Moment = TimeSpan.FromSeconds(1);
    private readonly ConcurrentDictionary<(Destination From, Destination To), long> begun = new();
    private readonly ConcurrentQueue<((Destination From, Destination To) Ends, long At)> order = new();

    /// <summary>A connection has begun.</summary>
    public void Add(IPEndPoint from, IPEndPoint to)
    {
        var (ends, now) = ((Destination.Of(from), Destination.Of(to)), time.GetTimestamp());
        begun[ends] = now;
        order.Enqueue((ends, now));
        while (order.TryPeek(out var oldest) && (time.GetElapsedTime(oldest.At, now) > Moment || order.Count > Most) && order.TryDequeue(out oldest))
            begun.TryRemove(KeyValuePair.Create(oldest.Ends, oldest.At));
    }

    /// <summary>Whether a connection with these ends began a moment ago.</summary>
    public bool Has(IPEndPoint from, IPEndPoint to) =>
        begun.TryGetValue((Destination.Of(from), Destination.Of(to)), out var at) && time.GetElapsedTime(at) <= Moment;
}
