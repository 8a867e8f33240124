namespace Mesh.ControlPlane.Rules.Documents;

/// <summary>Finds the name somebody probably meant. Pure.</summary>
internal static class NearestName
{
    /// <summary>The candidate with the fewest edits, if there are few enough of them; else null.</summary>
    public static string? Of(string written, IEnumerable<string> candidates)
    {
        if (written.Length > 64) return null;
        var best = candidates
            .Select(candidate => (Name: candidate, Edits: Distance(written.ToLowerInvariant(), candidate.ToLowerInvariant())))
            .OrderBy(pair => pair.Edits).ThenBy(pair => pair.Name, StringComparer.Ordinal).FirstOrDefault();
        return best.Name is not null && best.Edits <= Math.Max(2, written.Length / 3) ? best.Name : null;
    }

    private static int Distance(string a, string b)
    {
        var previous = Enumerable.Range(0, b.Length + 1).ToArray();
        var current = new int[b.Length + 1];
        for (var i = 1; i <= a.Length; i++)
        {
            current[0] = i;
            for (var j = 1; j <= b.Length; j++)
            {
                var change = previous[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
                current[j] = Math.Min(change, Math.Min(previous[j], current[j - 1]) + 1);
            }

            (previous, current) = (current, previous);
        }

        return previous[b.Length];
    }
}
