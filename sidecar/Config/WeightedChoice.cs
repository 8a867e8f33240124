using System.Collections.Immutable;
using Mesh.Sidecar.Resilience;

namespace Mesh.Sidecar.Config;

/// <summary>Picks one of several clusters by their shares. Pure but for the randomness passed in; allocation-free.</summary>
internal static class WeightedChoice
{
    /// <summary>One of <paramref name="clusters"/>, each with its share of <paramref name="total"/>; null when there is none.</summary>
    public static WeightedCluster? Of(ImmutableArray<WeightedCluster> clusters, uint total, Randomness random)
    {
        if (clusters.IsEmpty) return null;
        if (clusters.Length == 1) return clusters[0];
        var point = random.Below(total);
        foreach (var choice in clusters)
        {
            if (point < choice.Weight) return choice;
            point -= choice.Weight;
        }

        return clusters[0];
    }
}
