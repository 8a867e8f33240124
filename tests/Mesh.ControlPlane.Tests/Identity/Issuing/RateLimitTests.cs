using Mesh.ControlPlane.Identity.Issuing;
using Mesh.Tests;

namespace Mesh.ControlPlane.Tests.Identity.Issuing;

public sealed class RateLimitTests
{
    [Fact]
    public void A_burst_then_the_rate()
    {
        var time = new ManualTimeProvider();
        var limit = new RateLimit(50, 100, time);
        Assert.Equal(100, Enumerable.Range(0, 200).Count(_ => limit.TryTake()));
        time.Advance(TimeSpan.FromMilliseconds(100));
        Assert.Equal(5, Enumerable.Range(0, 200).Count(_ => limit.TryTake()));
        time.Advance(TimeSpan.FromHours(1));
        Assert.Equal(100, Enumerable.Range(0, 200).Count(_ => limit.TryTake()));
    }

    [Fact]
    public void One_caller_leaves_something_for_the_others()
    {
        var time = new ManualTimeProvider();
        var limit = new FairLimit(50, 100, 10, time);
        Assert.Equal(100, Enumerable.Range(0, 200).Count(_ => limit.TryTake("greedy")));
        for (var second = 0; second < 5; second++)
        {
            time.Advance(TimeSpan.FromSeconds(1));
            Assert.Equal(10, Enumerable.Range(0, 200).Count(_ => limit.TryTake("greedy")));
            Assert.Equal(40, Enumerable.Range(0, 200).Count(_ => limit.TryTake($"other {second}")));
        }
    }

    [Fact]
    public void Callers_without_number_are_not_remembered_without_number()
    {
        var time = new ManualTimeProvider();
        var limit = new FairLimit(50, 100, 10, time);
        var cost = ThreadTime.Of(() =>
        {
            for (var i = 0; i < FairLimit.MostCallers * 3; i++) limit.TryTake($"caller {i}");
        });
        // Each of the last 20,000 looked through all that are remembered, once: two minutes.
        Assert.True(cost < TimeSpan.FromSeconds(5), $"{cost}");
        Assert.Equal(FairLimit.MostCallers, limit.Callers);
        time.Advance(TimeSpan.FromMinutes(1));
        Assert.True(limit.TryTake("new"));
        Assert.Equal(1, limit.Callers);
    }
}
