using Mesh.Sidecar.Registration;

namespace Mesh.Sidecar.Tests.Registration;

/// <summary>What becomes of looks at an application: health of each port, and of the whole.</summary>
public sealed class HealthWatchTests
{
    [Fact]
    public void The_first_port_that_accepts_is_enough()
    {
        var watch = new HealthWatch([8080, 9090], hasPage: false);
        Assert.False(watch.Take(Look([false, false])));
        Assert.Null(watch.State);
        Assert.True(watch.Take(Look([false, true])));
        Assert.Equal((true, "8080"), Shown(watch));
        Assert.True(watch.AwaitsAny && watch.IsAwaited(0) && !watch.IsAwaited(1));
        Assert.True(watch.Take(Look([true, true])));
        Assert.Equal((true, ""), Shown(watch));
        Assert.False(watch.AwaitsAny);
    }

    [Fact]
    public void A_port_goes_after_two_bad_looks_and_comes_back_with_one_good()
    {
        var watch = new HealthWatch([8080, 9090], hasPage: false);
        watch.Take(Look([true, true]));
        Assert.False(watch.Take(Look([true, false])));
        Assert.False(watch.Take(Look([true, true])));
        Assert.False(watch.Take(Look([true, false])));
        Assert.True(watch.Take(Look([true, false])));
        Assert.Equal((true, "9090"), Shown(watch));
        Assert.True(watch.Take(Look([true, true])));
        Assert.Equal((true, ""), Shown(watch));
    }

    [Fact]
    public void Who_accepts_nowhere_is_not_healthy()
    {
        var watch = new HealthWatch([8080, 9090], hasPage: false);
        watch.Take(Look([true, true]));
        watch.Take(Look([false, false]));
        Assert.True(watch.Take(Look([false, false])));
        Assert.Equal((false, ""), Shown(watch));
        Assert.Contains("no 0; no 1", watch.State!.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public void Ports_that_were_not_looked_at_stay_as_they_are()
    {
        var watch = new HealthWatch([8080, 9090], hasPage: false);
        watch.Take(Look([true, null]));
        for (var i = 0; i < 5; i++) Assert.False(watch.Take(Look([null, false])));
        Assert.Equal((true, "9090"), Shown(watch));
    }

    [Fact]
    public void The_health_page_speaks_for_the_whole()
    {
        var watch = new HealthWatch([8080, 9090], hasPage: true);
        Assert.False(watch.Take(Look([true, true], page: false)));
        Assert.True(watch.Take(Look([true, true], page: true)));
        watch.Take(Look([true, true], page: false));
        Assert.True(watch.Take(Look([true, true], page: false)));
        Assert.Equal((false, ""), Shown(watch));
        Assert.Equal("no page", watch.State!.Detail);
        Assert.True(watch.Take(Look([true, false], page: true)));
        Assert.True(watch.Take(Look([true, false], page: true)));
        Assert.Equal((true, "9090"), Shown(watch));
    }

    private static (bool Passing, string Down) Shown(HealthWatch watch) => (watch.State!.Passing, string.Join(',', watch.State.PortsDown));

    private static AppLook Look(bool?[] ports, bool? page = null) => new(
        [.. ports.Select((well, i) => well is { } seen ? new AppHealth(seen, seen ? "" : $"no {i}") : (AppHealth?)null)],
        page is { } there ? new AppHealth(there, there ? "" : "no page") : null);
}
