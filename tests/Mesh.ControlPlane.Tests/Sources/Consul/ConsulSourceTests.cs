using System.Diagnostics;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Sources.Consul;
using Mesh.Tests;

namespace Mesh.ControlPlane.Tests.Sources.Consul;

/// <summary>The source against a Consul that a test scripts.</summary>
public sealed class ConsulSourceTests
{
    [Fact]
    public async Task The_first_world_is_whole_and_leaves_out_consul_itself()
    {
        await using var fake = await FakeConsul.StartAsync();
        fake.Set("consul", FakeConsul.Foreign("c", 8300));
        for (var i = 0; i < 30; i++) fake.Set($"s{i}", FakeConsul.Foreign($"s{i}", 80, node: "n"));
        var worlds = new List<int>();
        await using var running = new RunningSource(fake.Address);
        running.Store.Changed += w => worlds.Add(w.Instances.Count);
        await running.Source.Synced.WaitAsync(TimeSpan.FromSeconds(10));
        Assert.Equal(30, running.Store.Current.Instances.Count);
        Assert.All(worlds, count => Assert.Equal(30, count));
        Assert.DoesNotContain(fake.Requests, r => r.Contains("/consul", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_change_is_in_the_world_within_milliseconds_of_the_answer_and_a_burst_is_few_worlds()
    {
        await using var fake = await FakeConsul.StartAsync();
        fake.Set("web", FakeConsul.Foreign("a", 1));
        await using var running = new RunningSource(fake.Address);
        await running.HasAsync("n1/a");
        using var raw = new HttpClient { BaseAddress = fake.Address };
        var (times, rawTimes) = (new List<double>(), new List<double>());
        for (var i = 0; i < 20; i++)
        {
            await Eventually.TrueAsync(() => fake.Waiting == 2);
            // A request of our own waits for the same change: what the source takes is compared to it, on a busy machine too.
            using var head = await raw.GetAsync("/v1/health/service/web");
            var clock = new Stopwatch();
            var answered = AnsweredAsync(head.Headers.GetValues("X-Consul-Index").Single(), clock);
            await Eventually.TrueAsync(() => fake.Waiting == 3);
            var id = $"x{i}";
            var done = new TaskCompletionSource();
            running.Store.Changed += w =>
            {
                if (w.Instances.ContainsKey($"n1/{id}")) done.TrySetResult();
            };
            clock.Start();
            fake.Set("web", FakeConsul.Foreign(id, 1));
            await done.Task.WaitAsync(TimeSpan.FromSeconds(30));
            times.Add(clock.Elapsed.TotalMilliseconds);
            rawTimes.Add(await answered);
        }

        var (median, rawMedian) = (times.Order().ElementAt(10), rawTimes.Order().ElementAt(10));
        Assert.True(median < 50 + (3 * rawMedian), $"median {median:0.0} ms, of a request by itself {rawMedian:0.0} ms");

        for (var i = 0; i < 50; i++) fake.Set($"s{i}", FakeConsul.Foreign($"s{i}", 1));
        await Eventually.TrueAsync(() => running.Store.Current.Instances.Count == 51);
        await Eventually.TrueAsync(() => fake.Waiting == 52);
        var before = running.Store.Current.Version;
        var burst = Stopwatch.StartNew();
        for (var i = 0; i < 50; i++) fake.Set($"s{i}", FakeConsul.Foreign($"t{i}", 1));
        await Eventually.TrueAsync(() => running.Store.Current.Instances.ContainsKey("n1/t49"));
        Assert.InRange(running.Store.Current.Version - before, 1, 2 + (burst.ElapsedMilliseconds / 10));

        async Task<double> AnsweredAsync(string index, Stopwatch clock)
        {
            using var answer = await raw.GetAsync($"/v1/health/service/web?index={index}");
            return clock.Elapsed.TotalMilliseconds;
        }
    }

    [Fact]
    public async Task The_last_good_world_stays_while_consul_fails()
    {
        await using var fake = await FakeConsul.StartAsync();
        fake.Set("web", FakeConsul.Foreign("a", 1));
        await using var running = new RunningSource(fake.Address);
        await running.HasAsync("n1/a");
        var returned = 0;
        running.Source.Returned += () => returned++;
        await Eventually.TrueAsync(() => fake.Waiting == 2);
        fake.Next("/v1/", 30, FakeConsul.Status(500, "No cluster leader"));
        fake.Churn();
        await Eventually.TrueAsync(() => running.Output.Has("No cluster leader"));
        Assert.Equal(["n1/a"], running.Ids);
        await Eventually.TrueAsync(() => returned == 1);
        fake.Set("web", FakeConsul.Foreign("b", 1));
        // Just after an outage an instance that is missing is not believed to be gone yet.
        await running.HadAsync("n1/a", "n1/b");
        await running.HasAsync("n1/b");
        Assert.Equal(1, running.Output.Count("Consul does not answer"));
    }

    [Fact]
    public async Task A_critical_instance_shows_and_one_that_recovers_too()
    {
        await using var fake = await FakeConsul.StartAsync();
        fake.Set("web", FakeConsul.Foreign("a", 1), FakeConsul.Foreign("b", 1, status: "critical"));
        await using var running = new RunningSource(fake.Address);
        await running.HasAsync("n1/a", "n1/b:Critical");
        fake.Set("web", FakeConsul.Foreign("a", 1, status: "warning"), FakeConsul.Foreign("b", 1));
        await running.HasAsync("n1/a:Warning", "n1/b");
    }

    [Fact]
    public async Task Empty_after_full_is_held_reported_and_believed_only_when_it_stays()
    {
        await using var fake = await FakeConsul.StartAsync();
        fake.Set("web", FakeConsul.Foreign("a", 1), FakeConsul.Foreign("b", 2));
        await using var running = new RunningSource(fake.Address);
        await running.HasAsync("n1/a", "n1/b");
        var clock = Stopwatch.StartNew();
        fake.Set("web");
        await Eventually.TrueAsync(() => running.Worlds.Any(w => Says(w, "lacks instances")));
        Assert.All(running.Worlds.Where(w => Says(w, "lacks instances")), w => Assert.Equal(["n1/a", "n1/b"], RunningSource.IdsOf(w)));
        await running.HasAsync();
        Assert.True(clock.ElapsedMilliseconds >= RunningSource.Fast.EmptyHold.TotalMilliseconds, $"after {clock.ElapsedMilliseconds} ms");
        await Eventually.TrueAsync(() => running.Store.Current.Notices.IsEmpty);
        Assert.Contains(fake.Requests, r => r.EndsWith("?consistent", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_service_that_no_host_can_name_is_left_out_alone_and_said()
    {
        await using var fake = await FakeConsul.StartAsync();
        fake.Set("web", FakeConsul.Foreign("a", 1));
        fake.Set("web.v2", FakeConsul.Foreign("b", 2));
        await using var running = new RunningSource(fake.Address);
        await running.HasAsync("n1/a");
        await Eventually.TrueAsync(() => Says(running.Store.Current, "service 'web.v2' is left out"));
        // Also one that comes later, and until it goes.
        fake.Set("-odd-", FakeConsul.Foreign("c", 3));
        await Eventually.TrueAsync(() => Says(running.Store.Current, "service '-odd-' is left out"));
        Assert.Equal(["n1/a"], running.Ids);
    }

    [Fact]
    public async Task Empty_after_full_that_passes_loses_nothing()
    {
        await using var fake = await FakeConsul.StartAsync();
        fake.Set("web", FakeConsul.Foreign("a", 1), FakeConsul.Foreign("b", 2));
        await using var running = new RunningSource(fake.Address, RunningSource.Fast with { EmptyHold = TimeSpan.FromSeconds(60) });
        await running.HasAsync("n1/a", "n1/b");
        var least = 2;
        running.Store.Changed += w => least = Math.Min(least, w.Instances.Count);
        fake.Set("web");
        await Eventually.TrueAsync(() => !running.Store.Current.Notices.IsEmpty);
        fake.Set("web", FakeConsul.Foreign("a", 1), FakeConsul.Foreign("b", 2));
        await Eventually.TrueAsync(() => running.Store.Current.Notices.IsEmpty);
        Assert.Equal(2, least);
        Assert.Equal(["n1/a", "n1/b"], running.Ids);
    }

    [Fact]
    public async Task After_the_start_only_services_in_use_are_watched_and_their_backends_with_them()
    {
        await using var fake = await FakeConsul.StartAsync();
        foreach (var name in (string[])["web", "cart", "other", "late"]) fake.Set(name, FakeConsul.Foreign(name, 1));
        await using var running = new RunningSource(fake.Address, RunningSource.Fast with { WarmTime = TimeSpan.Zero, Linger = TimeSpan.Zero });
        running.Store.SetInterest(Only("web"));
        running.Store.SetRules("files", RouteTo("web", "cart"));
        await running.HasAsync("n1/cart", "n1/web");
        running.Store.SetInterest(Only("web", "late"));
        await running.HasAsync("n1/cart", "n1/late", "n1/web");
        running.Store.SetInterest(Only("late"));
        await running.HasAsync("n1/late");
        running.Store.SetInterest(new Interest(true, Interest.None.Services));
        await running.HasAsync("n1/cart", "n1/late", "n1/other", "n1/web");
        await Eventually.TrueAsync(() => fake.Waiting == 5);
    }

    [Fact]
    public async Task More_services_than_watches_are_read_in_turn_and_connections_stay_bounded()
    {
        await using var fake = await FakeConsul.StartAsync();
        for (var i = 0; i < 20; i++) fake.Set($"s{i:00}", FakeConsul.Foreign($"s{i:00}", 1));
        await using var running = new RunningSource(fake.Address, RunningSource.Fast with { MaxWatches = 4 });
        await running.Source.Synced.WaitAsync(TimeSpan.FromSeconds(10));
        Assert.Equal(20, running.Store.Current.Instances.Count);
        for (var i = 0; i < 20; i++) fake.Set($"s{i:00}", FakeConsul.Foreign($"t{i:00}", 1));
        await Eventually.TrueAsync(() => running.Ids.All(id => id.StartsWith("n1/t", StringComparison.Ordinal)));
        Assert.True(fake.Waiting <= 6, $"{fake.Waiting} requests wait");
        Assert.Contains("read in turn", running.Output.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Services_that_nodes_wait_for_are_read_without_the_pauses_of_those_read_in_turn()
    {
        await using var fake = await FakeConsul.StartAsync();
        for (var i = 0; i < 30; i++) fake.Set($"s{i:00}", FakeConsul.Foreign($"s{i:00}", 1));
        await using var running = new RunningSource(fake.Address, RunningSource.Fast with
        {
            MaxWatches = 4,
            PollPeriod = TimeSpan.FromSeconds(60),
            WarmTime = TimeSpan.FromMilliseconds(50),
            Linger = TimeSpan.FromMilliseconds(100),
        });
        await Eventually.TrueAsync(() => running.Store.Current.Unread.Names.Count == 30 && running.Ids.Length == 0);
        running.Store.SetInterest(new Interest(true, Interest.None.Services));
        await Eventually.TrueAsync(() => running.Ids.Length == 30);
        Assert.Empty(running.Store.Current.Unread.Names);
    }

    [Fact]
    public async Task Consul_may_come_later_than_we()
    {
        var fake = await FakeConsul.StartAsync();
        var address = fake.Address;
        await fake.DisposeAsync();
        await using var running = new RunningSource(address);
        await Eventually.TrueAsync(() => running.Output.Has("Consul does not answer"));
        Assert.False(running.Source.Synced.IsCompleted);
        fake = await FakeConsul.StartAsync(address);
        fake.Set("web", FakeConsul.Foreign("a", 1));
        await running.HasAsync("n1/a");
        await fake.DisposeAsync();
    }

    [Fact]
    public async Task One_service_that_cannot_be_read_does_not_hold_the_others_for_ever()
    {
        await using var fake = await FakeConsul.StartAsync();
        fake.Set("bad", FakeConsul.Foreign("bad", 1));
        fake.Set("web", FakeConsul.Foreign("a", 1));
        fake.Next("/v1/health/service/bad", 10_000, FakeConsul.Status(500, "boom"));
        await using var running = new RunningSource(fake.Address, RunningSource.Fast with { SyncPatience = TimeSpan.FromMilliseconds(300) });
        await running.HasAsync("n1/a");
        Assert.Contains("services=bad", running.Output.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_token_is_sent_read_again_when_its_file_changes_and_never_logged()
    {
        var file = Path.GetTempFileName();
        await File.WriteAllTextAsync(file, "secret-one\n");
        await using var fake = await FakeConsul.StartAsync();
        fake.Set("web", FakeConsul.Foreign("a", 1));
        await using var running = new RunningSource(fake.Address, consul: new ConsulOptions { Address = fake.Address, TokenFile = file, Datacenter = "dc 2" });
        await running.HasAsync("n1/a");
        await File.WriteAllTextAsync(file, "secret-two\n");
        File.SetLastWriteTimeUtc(file, new DateTime(2031, 1, 1, 0, 0, 0, DateTimeKind.Utc));
        fake.Next("/v1/", 2, FakeConsul.Status(403, "Permission denied"));
        fake.Set("web", FakeConsul.Foreign("b", 1));
        await running.HasAsync("n1/b");
        await Eventually.TrueAsync(() => fake.Tokens.Contains("secret-two"));
        Assert.Equal("secret-one", fake.Tokens.First());
        Assert.All(fake.Requests, r => Assert.Contains("dc=dc%202", r, StringComparison.Ordinal));
        Assert.DoesNotContain("secret", running.Output.ToString(), StringComparison.Ordinal);
        File.Delete(file);
    }

    private static bool Says(World world, string text) => world.Notices.Any(n => n.Text.Contains(text, StringComparison.Ordinal));

    private static Interest Only(params string[] names) =>
        new(false, System.Collections.Frozen.FrozenSet.ToFrozenSet(names.Select(n => new ServiceName("default", n))));

    private static RuleSet RouteTo(string parent, string backend)
    {
        var source = new Provenance("HTTPRoute", "default", "r", "r.yaml:1");
        return new RuleSet
        {
            HttpRoutes =
            [
                new HttpRoute
                {
                    Name = new("default", "r"),
                    Parents = [new ParentRef(new("default", parent), null)],
                    Rules = [new HttpRouteRule { Matches = [HttpRouteMatch.Everything], Backends = [new BackendRef(new("default", backend), 1, 1)], Source = source }],
                    Source = source,
                },
            ],
        };
    }
}
