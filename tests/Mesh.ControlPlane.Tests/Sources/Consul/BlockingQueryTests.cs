using System.Collections.Concurrent;
using System.Diagnostics;
using Mesh.ControlPlane.Sources;
using Mesh.ControlPlane.Sources.Consul;
using Mesh.Tests;
using Microsoft.AspNetCore.Http;

namespace Mesh.ControlPlane.Tests.Sources.Consul;

/// <summary>The rules of blocking queries against a Consul that breaks each of them.</summary>
public sealed class BlockingQueryTests : IAsyncDisposable
{
    private readonly CancellationTokenSource stop = new();
    private readonly ConcurrentQueue<int> answers = new();
    private readonly ConcurrentQueue<(string Error, int Failures)> failures = new();
    private readonly BlockingQueryOptions fast = new()
    {
        Backoff = new Backoff(TimeSpan.FromMilliseconds(10), TimeSpan.FromMilliseconds(40)),
        PollPeriod = TimeSpan.FromMilliseconds(50),
    };

    private FakeConsul fake = null!;
    private ConsulClient client = null!;
    private Task running = Task.CompletedTask;

    [Theory]
    [InlineData(0UL, 7UL, 7UL)]
    [InlineData(7UL, 9UL, 9UL)]
    [InlineData(7UL, 7UL, 7UL)]
    [InlineData(9UL, 7UL, 0UL)] // backwards: start over
    [InlineData(9UL, 0UL, 1UL)] // 0 would never block
    [InlineData(0UL, 0UL, 1UL)]
    [InlineData(5UL, null, 0UL)] // no header: not blockable
    public void The_next_index_follows_the_rules(ulong asked, ulong? answered, ulong next) =>
        Assert.Equal(next, BlockingQuery<int>.Next(asked, answered));

    [Fact]
    public async Task A_change_arrives_by_a_blocked_request_and_not_by_polling()
    {
        await FollowAsync();
        await Eventually.TrueAsync(() => fake.Waiting == 1);
        fake.Set("web", FakeConsul.Foreign("a", 1), FakeConsul.Foreign("b", 2));
        await Eventually.TrueAsync(() => answers.Contains(2));
        await Eventually.TrueAsync(() => fake.Waiting == 1);
        Assert.Equal(3, fake.Requests.Count);
        Assert.Contains("index=", fake.Requests.Last(), StringComparison.Ordinal);
        Assert.Contains("stale", fake.Requests.Last(), StringComparison.Ordinal);
        Assert.DoesNotContain("index=", fake.Requests.First(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_index_that_goes_backwards_is_followed_from_the_start()
    {
        await FollowAsync();
        await Eventually.TrueAsync(() => fake.Waiting == 1);
        fake.Rewind(3);
        await Eventually.TrueAsync(() => fake.Requests.Count >= 3 && fake.Waiting == 1);
        Assert.DoesNotContain("index=", fake.Requests.ElementAt(2), StringComparison.Ordinal);
        // Without the reset the query would wait for the old, higher index and miss this.
        fake.Set("web", FakeConsul.Foreign("a", 1), FakeConsul.Foreign("b", 2));
        await Eventually.TrueAsync(() => answers.Contains(2));
    }

    [Theory]
    [InlineData("0")]
    [InlineData("")]
    [InlineData("-5")]
    [InlineData("nonsense")]
    public async Task An_index_that_cannot_be_blocked_on_costs_a_bounded_number_of_requests(string header)
    {
        fake = await FakeConsul.StartAsync();
        fake.IndexHeader = header;
        fake.Set("web", FakeConsul.Foreign("a", 1));
        var clock = Stopwatch.StartNew();
        await FollowAsync(fast with { Burst = 3, Period = TimeSpan.FromMilliseconds(100) });
        await Eventually.TrueAsync(() => fake.Requests.Count >= 6);
        // 3 at once, then one each 100 ms (or each poll period of 50 ms and a token where the header is missing).
        Assert.True(clock.ElapsedMilliseconds >= 150, $"6 requests within {clock.ElapsedMilliseconds} ms");
        fake.Set("web", FakeConsul.Foreign("a", 1), FakeConsul.Foreign("b", 2));
        await Eventually.TrueAsync(() => answers.Contains(2));
    }

    [Fact]
    public async Task Churn_without_change_is_limited_by_the_bucket()
    {
        await FollowAsync(fast with { Burst = 5, Period = TimeSpan.FromMilliseconds(200) });
        await Eventually.TrueAsync(() => fake.Waiting == 1);
        var clock = Stopwatch.StartNew();
        while (clock.ElapsedMilliseconds < 1000 || (fake.Requests.Count < 6 && clock.ElapsedMilliseconds < 20_000))
        {
            fake.Churn();
            await Task.Yield();
        }

        // The first one, what the bucket holds, and one each 200 ms.
        var requests = fake.Requests.Count;
        Assert.InRange(requests, 6, 7 + (clock.ElapsedMilliseconds / 200));
    }

    [Fact]
    public async Task News_is_read_at_once_however_much_there_is()
    {
        await FollowAsync(fast with { Burst = 2, Period = TimeSpan.FromSeconds(2), NewsCost = 0.001 });
        await Eventually.TrueAsync(() => fake.Waiting == 1);
        var clock = Stopwatch.StartNew();
        for (var i = 2; i < 30; i++)
        {
            fake.Set("web", [.. Enumerable.Range(1, i).Select(n => FakeConsul.Foreign($"a{n}", n))]);
            await Eventually.TrueAsync(() => answers.Contains(i) && fake.Waiting == 1);
        }

        // By the bucket it would be a minute, 2 s for each of 28.
        Assert.True(clock.Elapsed < TimeSpan.FromSeconds(20), $"{clock.Elapsed}");
    }

    public static TheoryData<string> Faults => ["500", "429", "403", "half", "cut", "html", "empty", "huge", "array"];

    [Theory]
    [MemberData(nameof(Faults))]
    public async Task A_bad_answer_is_retried_with_backoff_and_the_next_good_one_counts(string fault)
    {
        await FollowAsync();
        await Eventually.TrueAsync(() => fake.Waiting == 1);
        fake.Next("/v1/health", 4, Fault(fault));
        fake.Set("web", FakeConsul.Foreign("a", 1), FakeConsul.Foreign("b", 2), FakeConsul.Foreign("c", 3));
        // The blocked request answers well; the next ones hit the fault.
        await Eventually.TrueAsync(() => failures.Count >= 4);
        await Eventually.TrueAsync(() => fake.Waiting == 1);
        Assert.Equal([1, 2, 3, 4], failures.Take(4).Select(f => f.Failures));
        Assert.All(failures, f => Assert.StartsWith("GET /v1/health/service/web", f.Error, StringComparison.Ordinal));
        Assert.All(failures, f => Assert.True(f.Error.Length < 400, f.Error));
        // After a failure the index is not trusted: the first request asks for everything.
        fake.Set("web", FakeConsul.Foreign("z", 1), FakeConsul.Foreign("b", 2));
        await Eventually.TrueAsync(() => answers.Contains(2));
    }

    [Fact]
    public async Task A_consul_that_never_answers_is_given_up_after_the_wait_and_a_sixteenth_and_a_margin()
    {
        await FollowAsync(consul: new ConsulOptions { Address = new Uri("http://x"), Wait = TimeSpan.FromMilliseconds(320), Timeout = TimeSpan.FromMilliseconds(200) });
        await Eventually.TrueAsync(() => fake.Waiting == 1);
        fake.Next("/v1/health", 1, async http => await Task.Delay(Timeout.Infinite, http.RequestAborted).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing));
        await Eventually.TrueAsync(() => !failures.IsEmpty);
        Assert.EndsWith("no answer within 0.5 s", failures.First().Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_consul_that_is_not_there_is_asked_again_ever_more_slowly()
    {
        fake = await FakeConsul.StartAsync();
        var address = fake.Address;
        await fake.DisposeAsync();
        client = new ConsulClient(new ConsulOptions { Address = address }, TimeProvider.System);
        Follow(fast);
        await Eventually.TrueAsync(() => failures.Count >= 3);
        fake = await FakeConsul.StartAsync(address);
        fake.Set("web", FakeConsul.Foreign("a", 1));
        await Eventually.TrueAsync(() => answers.Contains(1));
    }

    [Fact]
    public void Backoff_doubles_to_its_bound_and_half_of_it_is_chance()
    {
        var backoff = new Backoff(TimeSpan.FromMilliseconds(100), TimeSpan.FromSeconds(3));
        var clock = new SourceClock(TimeProvider.System, new Random(7));
        foreach (var (failed, least, most) in new[] { (1, 50, 100), (2, 100, 200), (4, 400, 800), (6, 1500, 3000), (1000, 1500, 3000) })
            for (var i = 0; i < 50; i++) Assert.InRange(backoff.After(failed, clock).TotalMilliseconds, least, most);
        Assert.True(Enumerable.Range(0, 20).Select(_ => backoff.After(5, clock)).Distinct().Count() > 10);
    }

    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        await running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        client?.Dispose();
        if (fake is not null) await fake.DisposeAsync();
        stop.Dispose();
    }

    private static Func<HttpContext, Task> Fault(string name) => name switch
    {
        "500" => FakeConsul.Status(500, "rpc error: No cluster leader\n\u001b[31m" + new string('x', 5000)),
        "429" => FakeConsul.Status(429, "Your IP is issuing too many concurrent connections"),
        "403" => FakeConsul.Status(403, "Permission denied: token with AccessorID lacks permission 'service:read'"),
        "half" => async http =>
        {
            http.Response.ContentType = "application/json";
            http.Response.Headers["X-Consul-Index"] = "99";
            await http.Response.WriteAsync("[{\"Node\":{\"Node\":\"n\"},\"Serv");
        }
        ,
        "cut" => async http =>
        {
            http.Response.ContentType = "application/json";
            http.Response.ContentLength = 1000;
            await http.Response.WriteAsync("[");
            await http.Response.Body.FlushAsync();
            http.Abort();
        }
        ,
        "html" => async http =>
        {
            http.Response.ContentType = "text/html";
            await http.Response.WriteAsync("<html>login</html>");
        }
        ,
        "empty" => http =>
        {
            http.Response.ContentType = "application/json";
            http.Response.Headers["X-Consul-Index"] = "99";
            return Task.CompletedTask;
        }
        ,
        "huge" => async http =>
        {
            http.Response.ContentType = "application/json";
            var line = new byte[64 * 1024];
            Array.Fill(line, (byte)' ');
            for (var i = 0; i < 64 && !http.RequestAborted.IsCancellationRequested; i++) await http.Response.Body.WriteAsync(line, http.RequestAborted).AsTask().ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
        ,
        "array" => async http =>
        {
            http.Response.ContentType = "application/json";
            await http.Response.WriteAsync("{\"not\":\"a list\"}");
        }
        ,
        _ => throw new ArgumentOutOfRangeException(nameof(name), name, null),
    };

    private async Task FollowAsync(BlockingQueryOptions? options = null, ConsulOptions? consul = null)
    {
        if (fake is null)
        {
            fake = await FakeConsul.StartAsync();
            fake.Set("web", FakeConsul.Foreign("a", 1));
        }

        client = new ConsulClient((consul ?? new ConsulOptions { Address = fake.Address, MaxAnswerBytes = 1 << 20 }) with { Address = fake.Address }, TimeProvider.System);
        Follow(options ?? fast);
    }

    private void Follow(BlockingQueryOptions options) =>
        running = new BlockingQuery<HealthEntry[]>(options, new SourceClock(TimeProvider.System, new Random(1))).RunAsync(
            (index, ct) => client.ReadAsync("/v1/health/service/web?stale", index, ConsulJson.Default.HealthEntryArray, ct),
            answer =>
            {
                var isNews = answers.LastOrDefault() != answer.Value!.Length;
                answers.Enqueue(answer.Value!.Length);
                return isNews;
            },
            (error, count) => failures.Enqueue((error.Message, count)),
            stop.Token);
}
