using System.Net;
using Mesh.Sidecar.Balancing;
using Mesh.Sidecar.Resilience;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests.Balancing;

/// <summary>Who gets the next request.</summary>
public sealed class EndpointSetTests
{
    private readonly Randomness random = new(7);

    [Fact]
    public void EqualWeightsTakeTurnsExactly()
    {
        var set = Set((1, 0), (1, 0), (1, 0));
        var picked = Enumerable.Range(0, 9).Select(i => Pick(set, (uint)i)).ToList();
        Assert.Equal([0, 1, 2, 0, 1, 2, 0, 1, 2], picked);
    }

    [Theory]
    [InlineData(LbPolicy.RoundRobin, 0.01)]
    [InlineData(LbPolicy.Random, 0.05)]
    internal void WeightsAreShares(LbPolicy policy, double off)
    {
        var set = Set((1, 0), (3, 0), (6, 0));
        var counts = new int[3];
        for (uint i = 0; i < 10_000; i++) counts[Pick(set, i, policy)]++;
        Assert.Equal([0.1, 0.3, 0.6], counts.Select(c => c / 10_000.0), (a, b) => Math.Abs(a - b) < off);
    }

    [Fact]
    public void AHeavyEndpointGetsNoBursts()
    {
        var set = Set((90, 0), (10, 0));
        var gaps = new List<int>();
        var last = 0;
        for (uint i = 0; i < 1000; i++)
        {
            if (Pick(set, i) != 1) continue;
            gaps.Add((int)i - last);
            last = (int)i;
        }

        Assert.InRange(gaps.Skip(1).Max(), 1, 20);
        Assert.InRange(gaps.Skip(1).Min(), 5, 10);
    }

    [Fact]
    public void LeastRequestPrefersTheIdle()
    {
        var endpoints = Endpoints((1, 0), (1, 0));
        var set = new EndpointSet(endpoints);
        for (var i = 0; i < 10; i++) endpoints[0].Stats.Begin();
        var counts = new int[2];
        for (uint i = 0; i < 1000; i++) counts[Pick(set, i, LbPolicy.LeastRequest)]++;
        Assert.InRange(counts[1], 700, 800); // three of four pairs contain the idle one
    }

    [Fact]
    public void ALowerPriorityWaitsUntilTheHigherIsOut()
    {
        var endpoints = Endpoints((1, 0), (1, 1));
        var set = new EndpointSet(endpoints);
        Assert.All(Enumerable.Range(0, 10), i => Assert.Equal(0, Pick(set, (uint)i)));
        endpoints[0].Stats.EjectedUntil = 100;
        Assert.Equal(1, Pick(set, 0, now: 50));
        Assert.Equal(0, Pick(set, 0, now: 150));
    }

    [Fact]
    public void WhenAllAreOutAllAreUsed()
    {
        var endpoints = Endpoints((1, 0), (1, 0));
        foreach (var endpoint in endpoints) endpoint.Stats.EjectedUntil = 100;
        var set = new EndpointSet(endpoints);
        Assert.Equal([0, 1], new[] { Pick(set, 0, now: 50), Pick(set, 1, now: 50) });
    }

    [Fact]
    public void TriedOnesAreAvoidedWhileThereAreOthers()
    {
        var endpoints = Endpoints((1, 0), (1, 0), (1, 0));
        var set = new EndpointSet(endpoints);
        Assert.Equal(2, set.Pick(LbPolicy.RoundRobin, 0, 0, random, [endpoints[0], endpoints[1]])!.Port);
        Assert.NotNull(set.Pick(LbPolicy.RoundRobin, 0, 0, random, [endpoints[0], endpoints[1], endpoints[2]]));
        endpoints[2].Stats.EjectedUntil = 100;
        Assert.Equal(2, set.Pick(LbPolicy.RoundRobin, 0, 50, random, [endpoints[0], endpoints[1]])!.Port);
    }

    [Fact]
    public void NobodyIsNobody() => Assert.Null(new EndpointSet([]).Pick(LbPolicy.Random, 0, 0, random, []));

    [Fact]
    public void ARefusalEjectsForASecondThenTwoAndAtMostThirty()
    {
        var time = new ManualTimeProvider();
        var stats = new EndpointStats();
        foreach (var seconds in (double[])[1, 2, 4, 8, 16, 30, 30])
        {
            Assert.True(stats.Refused(time, random));
            Assert.False(stats.Refused(time, random)); // it is out already
            var wait = TimeSpan.FromTicks(stats.EjectedUntil - time.GetTimestamp());
            Assert.InRange(wait.TotalSeconds, seconds * 0.9, seconds * 1.1);
            time.Advance(wait);
        }

        stats.Accepted();
        Assert.Equal(0, stats.EjectedUntil);
        Assert.True(stats.Refused(time, random));
        Assert.InRange(TimeSpan.FromTicks(stats.EjectedUntil - time.GetTimestamp()).TotalSeconds, 0.9, 1.1);
    }

    private static Endpoint[] Endpoints(params (uint Weight, uint Priority)[] of) => [.. of.Select((e, i) => new Endpoint
    {
        Host = "10.0.0.1",
        Port = i,
        Authority = $"10.0.0.1:{i}",
        Address = new IPEndPoint(IPAddress.Loopback, i),
        Weight = e.Weight,
        Priority = e.Priority,
        Peer = PeerLabels.Unknown,
        Stats = new EndpointStats(),
    })];

    private static EndpointSet Set(params (uint Weight, uint Priority)[] of) => new(Endpoints(of));

    private int Pick(EndpointSet set, uint cursor, LbPolicy policy = LbPolicy.RoundRobin, long now = 0) =>
        set.Pick(policy, cursor, now, random, [])!.Port;
}
