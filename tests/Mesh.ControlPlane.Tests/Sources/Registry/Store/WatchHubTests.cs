using Mesh.ControlPlane.Sources.Registry.Store;

namespace Mesh.ControlPlane.Tests.Sources.Registry.Store;

public sealed class WatchHubTests
{
    private readonly WatchHub hub = new(3);

    [Fact]
    public async Task A_signal_wakes_those_who_wait_for_its_topic_and_nobody_else()
    {
        using var web = hub.Enter(Topic.Service("Web"))!;
        using var db = hub.Enter(Topic.Service("db"))!;
        hub.Signal([Topic.Service("WEB")]);
        await web.Changed.WaitAsync(TimeSpan.FromSeconds(10));
        Assert.False(db.Changed.IsCompleted);
    }

    [Theory]
    [InlineData("dir/", "dir/a", true)]
    [InlineData("dir/", "dir", false)]
    [InlineData("", "anything", true)]
    [InlineData("dir/a", "dir/a", true)]
    public void A_key_wakes_those_who_wait_for_a_prefix_of_it(string prefix, string key, bool wakes)
    {
        using var waiter = hub.Enter(Topic.KeyPrefix(prefix))!;
        hub.Signal([Topic.Key(key)]);
        Assert.Equal(wakes, waiter.Changed.IsCompleted);
    }

    [Fact]
    public void There_are_at_most_so_many_waiters_and_one_that_leaves_makes_room()
    {
        using var first = hub.Enter(Topic.Nodes);
        using var second = hub.Enter(Topic.Nodes);
        var third = hub.Enter(Topic.KeyPrefix("a"))!;
        Assert.Null(hub.Enter(Topic.Services));
        third.Dispose();
        using var fourth = hub.Enter(Topic.Services);
        Assert.NotNull(fourth);
        Assert.Equal(3, hub.Waiters);
    }

    [Fact]
    public void One_who_enters_after_a_signal_waits_for_the_next()
    {
        var early = hub.Enter(Topic.Nodes)!;
        hub.Signal([Topic.Nodes]);
        using var late = hub.Enter(Topic.Nodes)!;
        early.Dispose();
        Assert.False(late.Changed.IsCompleted);
        hub.Signal([Topic.Nodes]);
        Assert.True(late.Changed.IsCompleted);
    }
}
