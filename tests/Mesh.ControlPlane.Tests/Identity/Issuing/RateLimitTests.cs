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
}
