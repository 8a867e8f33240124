namespace Mesh.Benchmarks;

/// <summary>Windows of measurement that go round the subjects in turn, forwards and backwards, so that a slow minute of the host hits all alike.</summary>
internal static class Rounds
{
    public static Dictionary<string, List<T>> Interleave<TSubject, T>(int rounds, IReadOnlyList<TSubject> subjects, Func<TSubject, string> name, Func<TSubject, T> measure)
    {
        var results = subjects.ToDictionary(name, _ => new List<T>());
        for (var round = 0; round < rounds; round++)
        {
            foreach (var subject in round % 2 == 0 ? subjects : subjects.Reverse())
            {
                results[name(subject)].Add(measure(subject));
                Console.Error.WriteLine($"round {round + 1}/{rounds} {name(subject)}: {results[name(subject)][^1]}");
            }
        }

        return results;
    }

    /// <summary>
    /// Loads a subject until what it costs stays the same: three windows in a row within 4 % of each other. Ours compiles while it runs and takes its
    /// time for that; one window does for the peers. Gives up, and says so, after <paramref name="most"/> windows.
    /// </summary>
    public static void Settle(string name, Func<double> cost, int most = 12)
    {
        const double Flat = 1.04;
        var costs = new List<double>();
        if (!name.StartsWith("mesh", StringComparison.Ordinal)) most = 1;
        while (costs.Count < most)
        {
            costs.Add(cost());
            var last = costs.TakeLast(3).ToList();
            if (last.Count < 3 || last.Max() > last.Min() * Flat) continue;
            Console.Error.WriteLine($"warm {name}: {string.Join(' ', costs.Select(c => $"{c:F1}"))} us");
            return;
        }

        if (most > 1) Console.Error.WriteLine($"NOT FLAT after {most} windows, {name}: {string.Join(' ', costs.Select(c => $"{c:F1}"))} us");
    }

    /// <summary>
    /// The median of ours, and the peer's such that the ratio of both is the median of the rounds' own ratios: neighbours in time are compared with each other.
    /// </summary>
    public static (double Ours, double Theirs) Compare(IReadOnlyList<double> ours, IReadOnlyList<double> theirs)
    {
        var median = Stats.Median(ours);
        return (median, median / Stats.Median(ours.Zip(theirs, (a, b) => a / b)));
    }
}
