using Mesh.Sidecar.Config;

namespace Mesh.Sidecar.Xds;

/// <summary>
/// Says when a set of resources is complete enough to serve: everything it refers to has come, or was waited for long enough
/// (xDS: initial_fetch_timeout). Pure, time passed in; one thread.
/// </summary>
internal sealed class Warming(TimeProvider time)
{
    /// <summary>Envoy's initial_fetch_timeout.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(15);

    private readonly Dictionary<string, long> waiting = new(StringComparer.Ordinal);
    private readonly HashSet<string> missed = new(StringComparer.Ordinal);

    /// <summary>
    /// True when the set may serve. <paramref name="givenUp"/>: names that were waited for in vain, said once each; they count as empty.
    /// </summary>
    public bool Ready(ResourceSet set, out IReadOnlyList<string> givenUp)
    {
        var now = time.GetTimestamp();
        var missing = set.Missing().ToHashSet(StringComparer.Ordinal);
        foreach (var come in waiting.Keys.Where(n => !missing.Contains(n)).ToList()) waiting.Remove(come);
        missed.IntersectWith(missing);
        foreach (var name in missing.Where(n => !missed.Contains(n))) waiting.TryAdd(name, now);
        givenUp = waiting.Where(w => time.GetElapsedTime(w.Value, now) >= Patience).Select(w => w.Key).Order(StringComparer.Ordinal).ToList();
        foreach (var name in givenUp)
        {
            waiting.Remove(name);
            missed.Add(name);
        }

        return set is { Clusters: not null, Listeners: not null } && waiting.Count == 0;
    }

    /// <summary>How long until a name is given up; null when none is waited for.</summary>
    public TimeSpan? NextDeadline()
    {
        if (waiting.Count == 0) return null;
        var left = Patience - time.GetElapsedTime(waiting.Values.Min());
        return left > TimeSpan.Zero ? left : TimeSpan.Zero;
    }

    /// <summary>What is waited for, for readiness.</summary>
    public IReadOnlyList<string> Waiting => [.. waiting.Keys.Order(StringComparer.Ordinal)];

    /// <summary>A new stream asks again, and gets its time.</summary>
    public void Restart() => waiting.Clear();
}
