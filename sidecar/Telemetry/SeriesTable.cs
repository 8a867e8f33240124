using System.Collections.Concurrent;

namespace Mesh.Sidecar.Telemetry;

/// <summary>
/// All series of one kind, at most <c>budget</c> of them; what comes beyond is counted on a series <c>other</c>.
/// Finding a known series takes no lock; making one does. Thread safe.
/// </summary>
internal sealed class SeriesTable<T>(int budget, Func<SeriesKey, T> make, Counter overflow)
    where T : Series
{
    /// <summary>Quiet for this long, a series may go when more than half of the budget is used.</summary>
    private static readonly TimeSpan IdleLimit = TimeSpan.FromMinutes(15);

    private readonly Lock gate = new();
    private readonly Dictionary<SeriesKey, T> byValue = [];
    private readonly ConcurrentDictionary<SeriesKey, T> byReference = new(new SeriesKey.ByReference());
    private volatile T[] all = [];

    /// <summary>All series, in order of creation.</summary>
    public IReadOnlyList<T> All => all;

    /// <summary>The series of a key, made on first use.</summary>
    public T Find(in SeriesKey key)
    {
        if (!byReference.TryGetValue(key, out var series)) series = Make(key);
        if (series.Key.IsOther) overflow.Add();
        return series;
    }

    /// <summary>
    /// Forgets series nothing was counted on for a while, when room is scarce. A count made at the same instant may be lost.
    /// </summary>
    public void Sweep(DateTimeOffset now)
    {
        lock (gate)
        {
            var scarce = byValue.Count > budget / 2;
            var removed = false;
            foreach (var (key, series) in byValue)
            {
                var activity = series.Activity;
                if (activity != series.SeenActivity)
                {
                    series.SeenActivity = activity;
                    series.LastActive = now;
                }
                else if (scarce && now - series.LastActive >= IdleLimit && !key.IsOther)
                {
                    removed |= byValue.Remove(key);
                }
            }

            if (!removed) return;
            all = [.. all.Where(series => byValue.ContainsKey(series.Key))];
            byReference.Clear();
        }
    }

    private T Make(in SeriesKey asked)
    {
        var key = asked;
        lock (gate)
        {
            // Labels of a new snapshot may be equal but other objects. Old references must not pile up.
            if (byReference.Count >= 2 * budget) byReference.Clear();
            if (!byValue.TryGetValue(key, out var series))
            {
                if (byValue.Count >= budget) key = key.Collapsed();
                if (!byValue.TryGetValue(key, out series))
                {
                    series = make(key);
                    byValue.Add(key, series);
                    all = [.. all, series];
                }
            }

            byReference[asked] = series;
            return series;
        }
    }
}
