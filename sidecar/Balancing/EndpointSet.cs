using System.Collections.Immutable;
using Mesh.Sidecar.Resilience;

namespace Mesh.Sidecar.Balancing;

/// <summary>
/// The endpoints of a cluster, arranged by priority for picking. Immutable; picking is O(1) for round robin with equal weights and
/// O(log n) otherwise, and looks further only past endpoints that are ejected or were tried already.
/// </summary>
public sealed class EndpointSet
{
    private readonly ImmutableArray<Level> levels;

    /// <summary>Arranges <paramref name="endpoints"/>.</summary>
    public EndpointSet(ReadOnlySpan<Endpoint> endpoints) =>
        levels = Arrange(endpoints);

    /// <summary>
    /// The endpoint for one try; null when there is none at all. Endpoints in <paramref name="tried"/> and ejected ones are avoided:
    /// first untried and in, by priority; then untried though ejected (never leave a cluster with nothing); then any.
    /// </summary>
    /// <param name="policy">How to choose.</param>
    /// <param name="cursor">Position of round robin, one further for each call.</param>
    /// <param name="now">Timestamp, to tell who is ejected.</param>
    /// <param name="random">Chance for the other policies.</param>
    /// <param name="tried">Endpoints this request has tried, with unused places null.</param>
    public Endpoint? Pick(LbPolicy policy, uint cursor, long now, Randomness random, ReadOnlySpan<Endpoint?> tried)
    {
        foreach (var level in levels)
        {
            if (level.Pick(policy, cursor, now, random, tried) is { } found) return found;
        }

        foreach (var level in levels)
        {
            if (level.Pick(policy, cursor, long.MaxValue, random, tried) is { } found) return found;
        }

        return levels.IsEmpty ? null : levels[0].Pick(policy, cursor, long.MaxValue, random, []);
    }

    // By hand: a query with numbers for keys is compiled at the first request, and takes a hundredth of the start for it.
    private static ImmutableArray<Level> Arrange(ReadOnlySpan<Endpoint> endpoints)
    {
        var arranged = ImmutableArray.CreateBuilder<Level>(1);
        for (long priority = Next(endpoints, -1); priority < long.MaxValue; priority = Next(endpoints, priority))
        {
            var level = new List<Endpoint>(endpoints.Length);
            foreach (var endpoint in endpoints)
            {
                if (endpoint.Priority == priority) level.Add(endpoint);
            }

            arranged.Add(new Level(level.ToArray()));
        }

        return arranged.ToImmutable();
    }

    private static long Next(ReadOnlySpan<Endpoint> endpoints, long after)
    {
        var next = long.MaxValue;
        foreach (var endpoint in endpoints)
        {
            if (endpoint.Priority > after && endpoint.Priority < next) next = endpoint.Priority;
        }

        return next;
    }

    /// <summary>Endpoints of one priority.</summary>
    private sealed class Level
    {
        private readonly Endpoint[] endpoints;
        private readonly ulong[]? upTo; // running sums of weights; null when all weights are equal
        private readonly ulong total;

        public Level(Endpoint[] endpoints)
        {
            this.endpoints = endpoints;
            if (endpoints.All(e => e.Weight == endpoints[0].Weight)) return;
            upTo = new ulong[endpoints.Length];
            for (var i = 0; i < endpoints.Length; i++) upTo[i] = total += Math.Max(1, endpoints[i].Weight);
        }

        public Endpoint? Pick(LbPolicy policy, uint cursor, long now, Randomness random, ReadOnlySpan<Endpoint?> tried)
        {
            var first = policy == LbPolicy.RoundRobin ? InTurn(cursor) : AtRandom(random);
            var found = NextUsable(first, now, tried);
            if (policy != LbPolicy.LeastRequest || found is null || endpoints.Length == 1) return found;
            var other = NextUsable(AtRandom(random), now, tried);
            return other is not null && other.Stats.Active < found.Stats.Active ? other : found;
        }

        /// <summary>
        /// Weighted round robin without state beyond the cursor: multiples of the golden ratio fall evenly into [0, 1), however many are
        /// taken, so shares are met within a few requests and heavy endpoints do not get bursts.
        /// </summary>
        private int InTurn(uint cursor) =>
            upTo is null ? (int)(cursor % (uint)endpoints.Length) : AtPoint(Fraction((ulong)(cursor * 2654435769u) << 32));

        private int AtRandom(Randomness random) =>
            upTo is null ? (int)random.Below((uint)endpoints.Length) : AtPoint(Fraction(random.NextBits()));

        /// <summary>The part of the total weight that <paramref name="bits"/> are of 2^64. (UInt128 cannot be compiled ahead.)</summary>
        private ulong Fraction(ulong bits) => Math.BigMul(bits, total, out _);

        private int AtPoint(ulong point)
        {
            var at = Array.BinarySearch(upTo!, point);
            return at >= 0 ? at + 1 : ~at; // a point equal to a running sum belongs to the next endpoint
        }

        private Endpoint? NextUsable(int first, long now, ReadOnlySpan<Endpoint?> tried)
        {
            for (var i = 0; i < endpoints.Length; i++)
            {
                var at = first + i;
                var endpoint = endpoints[at < endpoints.Length ? at : at - endpoints.Length];
                if (endpoint.Stats.EjectedUntil <= now && !WasTried(endpoint, tried)) return endpoint;
            }

            return null;
        }

        /// <summary>By address, not by object: the endpoint may come from a newer snapshot than the try.</summary>
        private static bool WasTried(Endpoint endpoint, ReadOnlySpan<Endpoint?> tried)
        {
            foreach (var one in tried)
            {
                if (one is not null && ReferenceEquals(one.Stats, endpoint.Stats)) return true;
            }

            return false;
        }
    }
}
