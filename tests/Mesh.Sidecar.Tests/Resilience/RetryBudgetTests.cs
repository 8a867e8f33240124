using Mesh.Sidecar.Resilience;

namespace Mesh.Sidecar.Tests.Resilience;

/// <summary>Budgets and waits.</summary>
public sealed class RetryBudgetTests
{
    [Theory]
    [InlineData(0, 3)]
    [InlineData(1, 3)]
    [InlineData(15, 3)]
    [InlineData(20, 4)]
    [InlineData(1000, 200)]
    public void AFifthOfWhatIsInFlightAndNeverFewerThanThree(int requests, int retries)
    {
        var budget = new RetryBudget();
        for (var i = 0; i < requests; i++) budget.RequestBegins();
        for (var i = 0; i < retries; i++) Assert.True(budget.TryRetry());
        Assert.False(budget.TryRetry());
        budget.RetryEnds();
        Assert.True(budget.TryRetry());
        Assert.Equal(retries, budget.Retries);
    }

    [Theory]
    [InlineData(1, 25)]
    [InlineData(2, 50)]
    [InlineData(3, 100)]
    [InlineData(20, 250)]
    public void BackoffGrowsToItsMostAndIsAllJitter(int retry, int most)
    {
        var random = new Randomness(1);
        var waits = Enumerable.Range(0, 1000).Select(_ =>
            Backoff.FullJitter(retry, TimeSpan.FromMilliseconds(25), TimeSpan.FromMilliseconds(250), random).TotalMilliseconds).ToList();
        Assert.All(waits, w => Assert.InRange(w, 0, most));
        Assert.InRange(waits.Average(), most * 0.45, most * 0.55);
    }

    [Fact]
    public void TheSameSeedGivesTheSameNumbers()
    {
        var (one, two) = (new Randomness(5), new Randomness(5));
        Assert.Equal(Enumerable.Range(0, 10).Select(_ => one.NextBits()), Enumerable.Range(0, 10).Select(_ => two.NextBits()));
        Assert.Equal(0u, one.Below(0));
        Assert.All(Enumerable.Range(0, 1000), _ => Assert.InRange(one.Below(3), 0u, 2u));
    }
}
