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
    /// The median of ours, and the peer's such that the ratio of both is the median of the rounds' own ratios: neighbours in time are compared with each other.
    /// </summary>
    public static (double Ours, double Theirs) Compare(IReadOnlyList<double> ours, IReadOnlyList<double> theirs)
    {
        var median = Stats.Median(ours);
        return (median, median / Stats.Median(ours.Zip(theirs, (a, b) => a / b)));
    }
}
