using System.Collections.Concurrent;
using System.Diagnostics;

namespace Shop.Load;

/// <summary>Sends requests when they are due, whatever became of those before (but for the bound of those in flight). Used once.</summary>
internal sealed class Generator(Arguments options)
{
    private readonly HttpClient _client = new() { Timeout = TimeSpan.FromSeconds(10) };
    private readonly ConcurrentBag<double> _latencies = [];
    private readonly ConcurrentDictionary<string, int> _failures = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, int> _tally = new(StringComparer.Ordinal);

    public async Task<Result> RunAsync(CancellationToken stop)
    {
        var total = (long)Math.Ceiling(options.Rps * options.Seconds);
        var clock = Stopwatch.StartNew();
        List<Task> running = [];
        using var places = new SemaphoreSlim(options.InFlight);
        for (long i = 0; i < total && !stop.IsCancellationRequested; i++)
        {
            var due = TimeSpan.FromSeconds(i / options.Rps);
            if (due - clock.Elapsed is { Ticks: > 0 } wait && !await SleptAsync(wait, stop))
                break;
            await places.WaitAsync(CancellationToken.None);
            running.Add(SendAsync(clock, due, places));
            if (running.Count >= 1024)
                running.RemoveAll(r => r.IsCompleted);
        }

        var seconds = clock.Elapsed.TotalSeconds;
        await Task.WhenAll(running);
        return new Result([.. _latencies.Order()], _failures, _tally, seconds);
    }

    private static async Task<bool> SleptAsync(TimeSpan wait, CancellationToken stop)
    {
        try
        {
            await Task.Delay(wait, TimeProvider.System, stop);
            return true;
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }

    private async Task SendAsync(Stopwatch clock, TimeSpan due, SemaphoreSlim places)
    {
        try
        {
            using var response = await _client.GetAsync(options.Url);
            var body = await response.Content.ReadAsStringAsync();
            if (!response.IsSuccessStatusCode)
                Count(_failures, $"{(int)response.StatusCode} {body.Trim()}");
            else if (options.Tally is { } tally)
                Count(_tally, tally.Match(body) is { Success: true } match ? match.Groups[^1].Value : "none");
        }
        catch (Exception e) when (e is HttpRequestException or TaskCanceledException or IOException)
        {
            Count(_failures, e.Message);
        }

        _latencies.Add((clock.Elapsed - due).TotalMilliseconds);
        places.Release();
    }

    private static void Count(ConcurrentDictionary<string, int> counts, string key) => counts.AddOrUpdate(key, 1, (_, n) => n + 1);
}
