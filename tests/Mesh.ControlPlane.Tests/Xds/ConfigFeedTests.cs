using System.Collections.Immutable;
using Mesh.Api.Logging;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Xds;
using Mesh.Tests;

namespace Mesh.ControlPlane.Tests.Xds;

/// <summary>When changes go out. The clock is the test's.</summary>
public sealed class ConfigFeedTests : IDisposable
{
    private readonly ManualTimeProvider time = new();
    private readonly WorldStore store = new();
    private readonly ConfigFeed feed;
    private readonly CancellationTokenSource stop = new();

    public ConfigFeedTests() => feed = new ConfigFeed(store, time, Log.Silent);

    public void Dispose()
    {
        stop.Cancel();
        feed.Dispose();
        stop.Dispose();
    }

    [Fact]
    public async Task Nothing_goes_out_before_the_first_world_is_complete()
    {
        var ready = new TaskCompletionSource();
        var running = feed.RunAsync(ready.Task, stop.Token);
        Set("10.0.0.1");
        time.Advance(TimeSpan.FromSeconds(10));
        Assert.Null(feed.Current);
        ready.SetResult();
        await Eventually.TrueAsync(() => feed.Current is not null);
        Assert.Same(store.Current, feed.Current!.Compiled.World);
        Assert.False(running.IsCompleted);
    }

    [Fact]
    public async Task Endpoints_wait_10_milliseconds_and_services_50()
    {
        await StartAsync();
        await ChangeAsync(() => Set("10.0.0.2"));
        time.Advance(TimeSpan.FromMilliseconds(9));
        Assert.NotSame(store.Current, feed.Current!.Compiled.World);
        time.Advance(TimeSpan.FromMilliseconds(1));
        await Eventually.TrueAsync(() => ReferenceEquals(store.Current, feed.Current!.Compiled.World));

        await ChangeAsync(() => store.SetInstances("more", [Web("db", "10.0.0.9")]));
        time.Advance(TimeSpan.FromMilliseconds(49));
        Assert.NotSame(store.Current, feed.Current!.Compiled.World);
        time.Advance(TimeSpan.FromMilliseconds(1));
        await Eventually.TrueAsync(() => ReferenceEquals(store.Current, feed.Current!.Compiled.World));
    }

    [Fact]
    public async Task Changes_without_pause_go_out_after_a_second()
    {
        await StartAsync();
        var published = 0;
        feed.Changed += () => Interlocked.Increment(ref published);
        for (var i = 0; i < 100; i++)
        {
            await ChangeAsync(() => Set($"10.0.1.{i}"));
            time.Advance(TimeSpan.FromMilliseconds(9));
        }

        // 900 ms have passed without a pause of 10: only the bound of a second can end the wait now.
        Assert.Equal(0, Volatile.Read(ref published));
        for (var i = 100; i < 115; i++)
        {
            await ChangeAsync(() => Set($"10.0.1.{i}"));
            time.Advance(TimeSpan.FromMilliseconds(9));
        }

        await Eventually.TrueAsync(() => Volatile.Read(ref published) == 1);
    }

    private async Task StartAsync()
    {
        Set("10.0.0.1");
        _ = feed.RunAsync(Task.CompletedTask, stop.Token);
        await Eventually.TrueAsync(() => feed.Current is not null);
    }

    // Makes a change and waits until the feed has taken it: it waits on a timer made after the change, or has published it.
    private async Task ChangeAsync(Action change)
    {
        var before = time.TimersMade;
        change();
        await Eventually.TrueAsync(() => time.TimersMade > before || ReferenceEquals(store.Current, feed.Current!.Compiled.World));
    }

    private void Set(string address) => store.SetInstances("test", [Web("web", address)]);

    private static Instance Web(string service, string address) => new()
    {
        Id = service + "-1",
        Namespace = "default",
        Service = service,
        Address = address,
        Ports = [new InstancePort("http", 8080, AppProtocol.Http, 8080)],
        Labels = ImmutableSortedDictionary<string, string>.Empty,
        Source = new Provenance("Test", "default", service, "test:1"),
    };
}
